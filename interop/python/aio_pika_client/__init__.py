"""The scenarios with aio-pika, as its users write them: objects for exchanges and queues."""
