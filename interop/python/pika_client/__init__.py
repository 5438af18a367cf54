"""The scenarios with pika, written once and run over three of its connection adapters.

`blocking` and `callbacks` give the adapters one awaitable face; over BlockingConnection nothing
ever suspends, over SelectConnection and AsyncioConnection each await is a callback of pika's.
"""
