"""The judge finds every kind of deviation, and none where there is none."""

import unittest
from collections import Counter

from shop import topology
from shop.accounting import Evidence, judge
from shop.plan import DECK, SKUS, Ending, Plan, Story
from shop.premises import DeadLetter

PLAN = Plan(1, len(DECK))
RUSH = 100


def order_with(story, stage=None):
    return next(
        order_id
        for order_id in PLAN.ids()
        if PLAN.fate(order_id).story is story and stage in (None, PLAN.fate(order_id).stage)
    )


def flawless():
    """The evidence of a run in which everything went as predicted, built without the judge."""
    evidence = Evidence({i: PLAN.prediction(i).ending for i in PLAN.ids()}, [])
    evidence.stock = {"on_hand": dict.fromkeys(SKUS, 0), "reserved": dict.fromkeys(SKUS, 0)}
    for order_id in sorted(PLAN.ids(), key=lambda order_id: not PLAN.basket(order_id)[2]):
        _add(evidence, order_id, PLAN.prediction(order_id))
    evidence.duplicates = Counter(evidence.noted_duplicates)
    return evidence


def _add(evidence, order_id, prediction):
    sku, quantity, _ = PLAN.basket(order_id)
    deeds = [did for _, did in prediction.effects]
    for service, did in prediction.effects:
        evidence.effects[order_id, service, did] += 1
    if "charged" in deeds or "declined" in deeds:
        evidence.payments.append(order_id)
    if "released" in deeds:
        evidence.stock["on_hand"][sku] += quantity
    elif "picked" not in deeds:
        evidence.stock["reserved"][sku] += quantity
    if prediction.died_at:
        queue = topology.work_queue(prediction.died_at)
        evidence.dead_letters.append(DeadLetter(order_id, queue, "rejected"))
    if prediction.duplicate_at:
        evidence.noted_duplicates[order_id, prediction.duplicate_at] += 1
    for level in range(1, prediction.retries + 1):
        evidence.retries[order_id, level] += 1
        evidence.waits_ms.append((level, topology.RETRY_DELAYS_MS[level - 1] + 0.5))


class JudgeTest(unittest.TestCase):
    def setUp(self):
        self.evidence = flawless()

    def findings(self):
        return judge(PLAN, self.evidence, RUSH)

    def assert_one_finding(self, words):
        findings = self.findings()
        self.assertEqual(len(findings), 1, findings)
        self.assertIn(words, findings[0])

    def test_a_run_as_predicted_has_no_findings(self):
        self.assertEqual(self.findings(), [])

    def test_an_order_without_an_ending_is_found(self):
        self.evidence.endings[5] = None
        self.assert_one_finding("order 5: predicted")

    def test_a_wrong_ending_is_found(self):
        order_id = order_with(Story.DECLINED)
        self.evidence.endings[order_id] = Ending.SHIPPED
        self.assert_one_finding(f"order {order_id}: predicted cancelled")

    def test_a_parcel_shipped_twice_is_found(self):
        order_id = order_with(Story.SENT_TWICE)
        self.evidence.effects[order_id, topology.SHIPPING, "shipped"] += 1
        self.assert_one_finding("shipping shipped 2 times, predicted 1")

    def test_a_deed_twice_is_found_also_after_a_lost_connection(self):
        self.evidence.losses = 1
        self.test_a_parcel_shipped_twice_is_found()

    def test_a_missing_compensation_is_found(self):
        order_id = order_with(Story.DECLINED)
        del self.evidence.effects[order_id, topology.INVENTORY, "released"]
        self.assert_one_finding("inventory released 0 times, predicted 1")

    def test_a_charge_nobody_predicted_is_found(self):
        order_id = order_with(Story.DECLINED)
        self.evidence.effects[order_id, topology.PAYMENT, "charged"] += 1
        self.assert_one_finding("payment charged 1 times, predicted 0")

    def test_a_dead_letter_that_is_not_in_its_queue_is_found(self):
        self.evidence.dead_letters.pop()
        self.assert_one_finding("found 0 times, predicted 1")

    def test_a_dead_letter_for_another_reason_is_found(self):
        letter = self.evidence.dead_letters.pop()
        self.evidence.dead_letters.append(DeadLetter(letter.order_id, letter.queue, "expired"))
        self.assertEqual(len(self.findings()), 2)

    def test_a_retry_too_few_is_found(self):
        order_id = order_with(Story.FLAKY)
        del self.evidence.retries[order_id, 1]
        self.assert_one_finding(f"retry (order, level) ({order_id}, 1): found 0")

    def test_a_retry_too_many_is_found_unless_a_connection_was_lost(self):
        self.evidence.retries[order_with(Story.FLAKY), 1] += 1
        self.assert_one_finding("found 2 times, predicted 1")
        self.evidence.losses = 1
        self.assertEqual(self.findings(), [])

    def test_a_retry_too_early_is_found(self):
        self.evidence.waits_ms.append((2, 120.0))
        self.assert_one_finding("came back after 120.0 ms")

    def test_an_unnoticed_duplicate_is_found(self):
        key = order_with(Story.ACK_LOST), PLAN.fate(order_with(Story.ACK_LOST)).stage
        del self.evidence.noted_duplicates[key]
        del self.evidence.duplicates[key]
        self.assert_one_finding("duplicate")

    def test_stock_that_is_not_released_is_found(self):
        self.evidence.stock["on_hand"][SKUS[0]] += 1
        self.assert_one_finding("stock of sku-00, on_hand")

    def test_an_express_order_behind_a_standard_one_is_found(self):
        is_plain = [i for i in range(1, RUSH) if PLAN.fate(i).story is Story.PLAIN]
        express = next(i for i in is_plain if PLAN.basket(i)[2])
        self.evidence.payments.remove(express)
        self.evidence.payments.append(express)
        self.assert_one_finding(f"express order {express} was paid after")


if __name__ == "__main__":
    unittest.main()
