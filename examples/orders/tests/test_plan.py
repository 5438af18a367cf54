"""The plan is the same in every process and knows every story."""

import unittest
from collections import Counter

from shop import topology
from shop.plan import DECK, Ending, Plan, Story


class PlanTest(unittest.TestCase):
    def test_two_plans_of_one_seed_agree(self):
        one, other = Plan(7, 1000), Plan(7, 1000)
        # The other process asks in another order.
        theirs = {order_id: other.fate(order_id) for order_id in reversed(other.ids())}
        self.assertEqual({order_id: one.fate(order_id) for order_id in one.ids()}, theirs)

    def test_another_seed_gives_another_plan(self):
        one, other = Plan(1, 400), Plan(2, 400)
        self.assertNotEqual([one.fate(i) for i in one.ids()], [other.fate(i) for i in other.ids()])

    def test_each_deck_of_orders_tells_every_story(self):
        plan = Plan(3, 2 * len(DECK))
        second_deck = list(plan.ids())[len(DECK) :]
        told = Counter(plan.fate(order_id) for order_id in second_deck)
        self.assertEqual(told, Counter(DECK))
        self.assertEqual({fate.story for fate in told}, set(Story))

    def test_a_declined_order_is_compensated(self):
        plan = Plan(1, len(DECK))
        declined = [i for i in plan.ids() if plan.fate(i).story is Story.DECLINED]
        for order_id in declined:
            prediction = plan.prediction(order_id)
            self.assertIs(prediction.ending, Ending.CANCELLED)
            self.assertIn((topology.INVENTORY, "released"), prediction.effects)
            self.assertNotIn((topology.INVENTORY, "picked"), prediction.effects)

    def test_a_cursed_order_stops_before_the_stage_that_fails(self):
        plan = Plan(1, len(DECK))
        for order_id in plan.ids():
            fate = plan.fate(order_id)
            if fate.story is Story.CURSED:
                served = [service for service, _ in plan.prediction(order_id).effects]
                self.assertEqual(served.count(fate.stage), fate.stage == topology.INVENTORY)

    def test_the_stock_is_what_all_orders_ask_for(self):
        plan = Plan(1, 50)
        asked = sum(plan.basket(order_id)[1] for order_id in plan.ids())
        self.assertEqual(sum(plan.initial_stock().values()), asked)


if __name__ == "__main__":
    unittest.main()
