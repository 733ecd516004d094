-- Channels are told by turns: the first that is due of each, and how many of each are under way.
CREATE INDEX notifications_turns ON notifications (organization, channel, due_at) WHERE state = 'pending';
CREATE INDEX notifications_leased ON notifications (leased_until) WHERE state = 'pending' AND leased_until IS NOT NULL;
DROP INDEX notifications_due;
