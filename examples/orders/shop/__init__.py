"""The order flow of an online shop, as processes that talk through an AMQP 0-9-1 broker."""
