"""What the runners share: the broker they test, the clients' tools, and the scenario list."""
