"""The list of missing orders is complete, and short where it can be."""

import unittest

from shop.report import missing_orders


class MissingOrdersTest(unittest.TestCase):
    def test_neighbours_are_joined_and_nothing_is_left_out(self):
        told = missing_orders({"no clear ending": [1, 3, 4, 7, 8, 9, 12]})
        self.assertEqual(told, "\n  no clear ending: 7 orders: 1, 3-4, 7-9, 12")

    def test_what_is_complete_is_not_mentioned(self):
        told = missing_orders({"no clear ending": [], "no duplicate noticed": [5]})
        self.assertEqual(told, "\n  no duplicate noticed: 1 orders: 5")


if __name__ == "__main__":
    unittest.main()
