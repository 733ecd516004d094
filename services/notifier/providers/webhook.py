"""Signed webhooks: Standard Webhooks 1.0 (https://www.standardwebhooks.com), the body a CloudEvent in JSON (structured mode).

Of Slipway's own events, or of CDEvents, as the channel's format says.
"""

import binascii
import json
from datetime import UTC, datetime

from pydantic import JsonValue
from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from services.notifier.channels import Channel
from services.notifier.providers.contract import Notification, Outcome, Verdict
from shared.contracts.cdevents import structured
from shared.contracts.events import Event
from shared.guarded_http import Failed, GuardedClient, Response
from shared.outbound import Refused
from shared.rate_limits import retry_after


class WebhookProvider:
    """Posts the event. `webhook-id` is the CloudEvent's id: the same on every attempt, so that receivers can deduplicate."""

    def __init__(self, client: GuardedClient) -> None:
        self._client = client

    async def deliver(self, notification: Notification, channel: Channel) -> Verdict:
        """2xx is delivered, 410 ends the channel, anything else is tried again."""
        outside = notification.outside
        envelope = structured(outside) if outside else cloud_event(notification.event, notification.source)
        identity, body = str(envelope["id"]), json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))
        now = datetime.now(UTC)
        try:
            signature = _signatures(channel, identity, now, body)
        except (EmptyWebhookSecretError, binascii.Error, ValueError):
            return Verdict(Outcome.HOPELESS, error="The channel's signing secret is not whsec_ followed by base64.")
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "User-Agent": "Slipway-Webhooks/1",
            "webhook-id": identity,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }
        try:
            return _verdict(await self._client.send("POST", channel.url, headers, body.encode()), now)
        except Refused as error:
            return Verdict(Outcome.HOPELESS, error=str(error))
        except Failed as error:
            return Verdict(Outcome.RETRY, error=str(error))


def _signatures(channel: Channel, identity: str, now: datetime, body: str) -> str:
    """One, or during a rotation two, with a space between them: a receiver takes the one that it can verify."""
    secrets = (channel.secret, *([channel.former_secret] if channel.former_secret else []))
    return " ".join(Webhook(secret).sign(identity, now, body) for secret in secrets)


def _verdict(response: Response, now: datetime) -> Verdict:
    status = response.status
    if 200 <= status < 300:
        return Verdict(Outcome.DELIVERED, status)
    if status == 410:
        return Verdict(Outcome.GONE, status, "The receiver answered 410 Gone: nothing more is sent until the channel is changed.")
    if 300 <= status < 400:
        error = f"The receiver redirects to {response.headers.get('location', 'nowhere')!r}; redirects are not followed."
        return Verdict(Outcome.RETRY, status, error)
    wait = retry_after(response.headers.get("retry-after"), now)
    return Verdict(Outcome.RETRY, status, f"The receiver answered {status}: {response.text()}", wait, hold=wait is not None)


def cloud_event(event: Event, source: str) -> dict[str, JsonValue]:
    """The event as CloudEvents 1.0 JSON (structured content mode); `data` is the event as it is on the bus."""
    headers = event.headers(source)
    return {
        "specversion": headers["ce-specversion"],
        "id": event.id,
        "source": headers["ce-source"],
        "type": headers["ce-type"],
        "time": headers["ce-time"],
        "subject": "/".join(part for part in (event.organization, event.project, event.environment) if part),
        "datacontenttype": "application/json",
        "data": event.model_dump(mode="json", exclude_none=True),
    }
