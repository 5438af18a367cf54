"""What the publisher owes: every publication is confirmed once, or published again."""

import types
import unittest

import pika

from shop.message import Publication
from shop.publisher import REPUBLISH_S, ConfirmingPublisher


class FakeChannel:
    """Remembers what was published."""

    def __init__(self):
        self.keys = []

    def basic_publish(self, _exchange, routing_key, _body, _properties, _mandatory):
        self.keys.append(routing_key)


def confirm(method_class, tag, multiple=False):
    return types.SimpleNamespace(method=method_class(delivery_tag=tag, multiple=multiple))


class PublisherTest(unittest.TestCase):
    def setUp(self):
        self.later = []
        self.quiet = 0
        self.publisher = ConfirmingPublisher(
            self.on_quiet, lambda seconds, callback: self.later.append((seconds, callback))
        )
        self.channel = FakeChannel()
        self.publisher.attach(self.channel)
        self.confirmed = []

    def on_quiet(self):
        self.quiet += 1

    def publish(self, *keys):
        for key in keys:
            publication = Publication("", key, b"", pika.BasicProperties())
            self.publisher.publish(publication, lambda key=key: self.confirmed.append(key))

    def ack(self, tag, multiple=False):
        self.publisher.on_confirm(confirm(pika.spec.Basic.Ack, tag, multiple))

    def test_an_ack_confirms_one_publication(self):
        self.publish("a", "b", "c")
        self.ack(2)
        self.assertEqual(self.confirmed, ["b"])
        self.assertFalse(self.publisher.is_quiet)

    def test_a_multiple_ack_confirms_all_up_to_its_tag(self):
        self.publish("a", "b", "c")
        self.ack(1)
        self.ack(2, multiple=True)
        self.assertEqual(self.confirmed, ["a", "b"])

    def test_the_last_confirm_makes_it_quiet(self):
        self.publish("a", "b")
        self.ack(1)
        self.assertEqual(self.quiet, 0)
        self.ack(2)
        self.assertEqual(self.quiet, 1)
        self.assertTrue(self.publisher.is_quiet)

    def test_what_was_unconfirmed_is_published_again_on_the_next_channel(self):
        self.publish("a", "b", "c")
        self.ack(2)
        self.publisher.detach()
        self.publish("d")
        channel = FakeChannel()
        self.publisher.attach(channel)
        self.assertEqual(channel.keys, ["a", "c", "d"])
        self.ack(3, multiple=True)  # the new channel counts from 1
        self.assertEqual(self.confirmed, ["b", "a", "c", "d"])

    def test_a_nack_publishes_again_later_and_is_not_quiet_until_then(self):
        self.publish("a")
        self.publisher.on_confirm(confirm(pika.spec.Basic.Nack, 1))
        self.assertEqual((self.confirmed, self.quiet), ([], 0))
        self.assertFalse(self.publisher.is_quiet)
        ((seconds, again),) = self.later
        self.assertEqual(seconds, REPUBLISH_S)
        again()
        self.assertEqual(self.channel.keys, ["a", "a"])
        self.ack(2)
        self.assertEqual((self.confirmed, self.quiet), (["a"], 1))


if __name__ == "__main__":
    unittest.main()
