"""Ways to tell somebody: one file each behind one method, and the table of them.

A new one: a module with a class that has `deliver`, a line in `services.notifier.app.providers`, and its
integration test against a server that speaks the real protocol.
"""
