# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
The rule of an item that is billed as the work goes on

It is a line of the schedule of values of the building trade (AIA G703: the
scheduled value, what previous applications and this one bill of it, the total
to date, its percents and the balance).

Quantities are Decimal in the unit of the item, prices and amounts Decimal in
the currency of the contract.  A ratio of 1 is all: it is shown as a float with
four decimals, and typed as Decimal.  A document bills from
what was billed before, Previous, to what is done, Current:

    >>> cents = lambda amount: round(amount, 2)
    >>> doors = Item(Decimal(20), Decimal('150.00'), cents)
    >>> doors.get_quantity(Decimal('.4'))
    Decimal('8.0000000000')
    >>> doors.get_amount(Decimal(8))
    Decimal('1200.00')
    >>> next_ = doors._replace(previous=Decimal(8), billed=Decimal('1200.00'))
    >>> next_.get_amount(Decimal(15)), next_.get_ratio(Decimal(15))
    (Decimal('1050.00'), 0.75)

It bills the rounded value of Current less what was billed, which sums to the
rounded value of the whole, while rounded differences lose cents:

    >>> third = Item(Decimal(1), Decimal('100.00'), cents)
    >>> amounts = []
    >>> for ratio in ['.3333333333', '.6666666667', '1']:
    ...     current = third.get_quantity(Decimal(ratio))
    ...     amounts.append(third.get_amount(current))
    ...     third = third._replace(
    ...         previous=current, billed=third.billed + amounts[-1])
    >>> amounts, sum(amounts)
    ([Decimal('33.33'), Decimal('33.34'), Decimal('33.33')], Decimal('100.00'))

What does not move bills nothing, but at another price the whole of Current
has the new one:

    >>> next_.get_amount(Decimal(8))
    Decimal('0.00')
    >>> dearer = next_._replace(
    ...     price=Decimal('160.00'), billed_price=Decimal('150.00'))
    >>> dearer.get_amount(Decimal(8)), dearer.get_amount(Decimal(15))
    (Decimal('80.00'), Decimal('1200.00'))

Current is between Previous and the total, also of what is deducted:

    >>> next_.get_fault(Decimal(7)), next_.get_fault(Decimal(21))
    ('current_range', 'current_range')
    >>> deducted = next_._replace(total=Decimal(-20), previous=Decimal(-8))
    >>> deducted.get_fault(Decimal(-15)), deducted.get_fault(Decimal(-5))
    (None, 'current_range')
    >>> next_._replace(total=Decimal(7)).get_fault(Decimal(8))
    'total_below_previous'

An item still to be measured has no total, and bills nothing:

    >>> measured = Item(Decimal(0), Decimal('100.00'), cents)
    >>> measured.get_fault(Decimal(0)), measured.get_amount(Decimal(0))
    (None, Decimal('0'))

A credit note goes back from Previous, by no more than what the document that
it credits billed, and all of it to the cent:

    >>> credit = Item(
    ...     Decimal(1), Decimal('100.00'), cents,
    ...     previous=Decimal('.6666666667'), billed=Decimal('66.67'),
    ...     creditable=(Decimal('.3333333334'), Decimal('33.34')))
    >>> credit.default
    Decimal('0.3333333333')
    >>> credit.get_amount(credit.default)
    Decimal('-33.34')
    >>> credit.get_fault(Decimal('.3')), credit.get_fault(Decimal('.7'))
    ('credit_beyond', 'credit_beyond')

The ratio that is shown, sent back, is not typed, for it would change the
quantity, which wins when both are typed:

    >>> shown = Decimal('.3333333333')
    >>> third.get_ratio(shown)
    0.3333
    >>> third.get_typed(None, Decimal('.3333'), shown)
    >>> third.get_typed(None, Decimal('.3334'), shown)
    Decimal('0.3334000000')
    >>> third.get_typed(Decimal('.5'), Decimal('.3334'), shown)
    Decimal('0.5')
"""
import math
from collections import namedtuple
from decimal import Context, Decimal


def same_quantity(a, b):
    "Return if the quantities differ by no more than the noise of a float"
    return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-10)


def is_between(value, a, b):
    return min(a, b) <= value <= max(a, b)


def get_ratio(part, total):
    """
    Return the ratio of the part to the total as it is shown

    >>> get_ratio(Decimal(1), Decimal(3)), get_ratio(Decimal(0), Decimal(0))
    (0.3333, 0.0)
    """
    return round(float(part) / float(total), 4) if total else 0.


def get_part(ratio, total):
    """
    Return the part of the total of the ratio, to 10 decimals

    They are more than any unit has and less than what a float loses.
    """
    return (total * ratio).quantize(
        Decimal('1E-10'), context=Context(prec=400))


class Item(namedtuple('Item', [
            'total', 'price', 'round', 'previous', 'billed', 'billed_price',
            'creditable'],
        defaults=[Decimal(0), Decimal(0), None, None])):
    """
    What a document bills an item from

    total: the quantity that is sold
    price: what one unit is sold at
    round: a function that rounds an amount to the currency
    previous: the quantity that was billed before
    billed: the amount that was billed before
    billed_price: the price it was billed at, None if it is the price
    creditable: on a credit note the quantity and the amount that are left to
        credit of the line that it credits, else None
    """
    __slots__ = ()

    def bill_before(self):
        """
        Return the item with the previous quantity billed at its price

        >>> item = Item(Decimal(3), Decimal('9.99'), lambda a: round(a, 1))
        >>> item._replace(previous=Decimal(1)).bill_before().billed
        Decimal('10.0')
        """
        return self._replace(
            billed=self.get_value(self.previous), billed_price=self.price)

    @property
    def default(self):
        "The current quantity if none is typed: nothing more, or all to credit"
        if self.creditable:
            quantity, _ = self.creditable
            return self.previous - quantity
        return self.previous

    def get_value(self, quantity):
        "Return what the quantity is worth at the price"
        return self.round(quantity * self.price)

    def get_quantity(self, ratio):
        "Return the quantity of the ratio of the total"
        return get_part(ratio, self.total)

    def get_ratio(self, quantity):
        "Return the ratio of the quantity to the total as it is shown"
        return get_ratio(quantity, self.total)

    def get_typed(self, quantity, ratio, shown=None):
        """
        Return the quantity that was typed, None if there was none

        shown is the quantity whose ratio is shown, if there is one.
        """
        if quantity is not None:
            return quantity
        if ratio is not None and (
                shown is None or float(ratio) != self.get_ratio(shown)):
            return self.get_quantity(ratio)

    def get_current(self, quantity, forward=False):
        """
        Return the current quantity for the one that is wanted

        It is the previous, the total or what is to credit where only noise
        is between.  What goes forward does not go below the previous.

        >>> item = Item(Decimal(3), Decimal(1), round, previous=Decimal(1))
        >>> item.get_current(Decimal('2.99999999999'))
        Decimal('3')
        >>> [item.get_current(Decimal(n), forward=True) for n in [0, 2]]
        [Decimal('1'), Decimal('2')]
        """
        if forward:
            quantity = max(quantity, self.previous, key=abs)
        for bound in [self.previous, self.total, self.default]:
            if same_quantity(quantity, bound):
                return bound
        return quantity

    def get_billed_quantity(self, current):
        "Return the quantity that is billed"
        return current - self.previous

    def get_amount(self, current):
        "Return the amount that is billed"
        if self.creditable:
            quantity, amount = self.creditable
            if same_quantity(self.previous - current, quantity):
                # What is credited in full is credited to the cent
                return -amount
        if (same_quantity(current, self.previous)
                and self.billed_price in {None, self.price}):
            return self.billed - self.billed
        return self.get_value(current) - self.billed

    def get_fault(self, current):
        "Return the name of the rule that is broken, None if there is none"
        zero = Decimal(0)
        if not is_between(self.previous, zero, self.total):
            return 'total_below_previous'
        if self.creditable:
            quantity, amount = self.creditable
            if not (is_between(current, self.previous, self.default)
                    and is_between(current, zero, self.total)
                    and is_between(self.get_amount(current), zero, -amount)):
                return 'credit_beyond'
        elif not is_between(current, self.previous, self.total):
            return 'current_range'
