# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
What an advance and a line of an intervention are sold at

Both are quantities of a product or of what is described, at a unit price in
the currency of the company.  What is not typed of them is what a line of a
sale to their party would have.
"""
import math
from decimal import Decimal

from trytond.i18n import gettext
from trytond.model import fields
from trytond.modules.currency.fields import Monetary
from trytond.modules.product import price_digits
from trytond.pool import Pool, PoolMeta
from trytond.tools import firstline

from .common import LIMIT, to_quantity
from .exceptions import PriceError, RevenueAccountError


class Sale(metaclass=PoolMeta):
    __name__ = 'sale.sale'

    @classmethod
    def get_pricing_line(
            cls, company, party, currency, product=None, unit=None,
            quantity=None, unit_price=None, sale_date=None):
        """
        Return a line, not to be saved, with the unit, the unit price and the
        taxes that a sale of the quantity to the party would have
        """
        pool = Pool()
        SaleLine = pool.get('sale.line')
        sale = cls(
            company=company, currency=currency, party=party,
            sale_date=sale_date, lines=[])
        sale.on_change_party()
        sale.currency = currency
        line = SaleLine(
            sale=sale, type='line', company=company, product=None,
            quantity=quantity, unit=unit, unit_price=unit_price)
        if product and product.account_category:
            line.product = product
        # Else they are, like its account, those of what has no product
        line.taxes = line.compute_taxes(party)
        line.product = product
        if product:
            category = product.default_uom_category
            if not unit or unit.category != category:
                line.unit = product.sale_uom or product.default_uom
            line.unit_price = line.compute_unit_price()
        return line


class PricingMixin:
    """
    The quantity, price and amount of what is sold

    The model has the fields product, unit and taxes, the properties
    pricing_currency and pricing_pattern, which is what the sale depends on,
    and the field that _pricing_parent names.
    """
    __slots__ = ()

    description = fields.Text("Description")
    quantity = fields.Float("Quantity", digits='unit', required=True)
    unit_price = Monetary(
        "Unit Price", currency='currency', digits=price_digits, required=True)
    taxes_typed = fields.Boolean(
        "Taxes Typed",
        help="If the taxes are those typed, also when there are none.")
    amount = fields.Function(
        Monetary("Amount", currency='currency', digits='currency'),
        'on_change_with_amount')

    @fields.depends(
        'product', 'unit', 'quantity', 'unit_price',
        methods=['pricing_pattern'])
    def _get_sale_line(self):
        "Return the line that would sell it"
        pool = Pool()
        Sale = pool.get('sale.sale')
        return Sale.get_pricing_line(
            product=self.product, unit=self.unit, quantity=self.quantity,
            unit_price=self.unit_price, **self.pricing_pattern)

    @fields.depends(
        'product', 'unit', 'unit_price', 'taxes', methods=['_get_sale_line'])
    def on_change_product(self):
        line = self._get_sale_line()
        self.taxes = line.taxes
        self.taxes_typed = False
        if self.product:
            self.unit = line.unit
            self.unit_price = line.unit_price

    def on_change_taxes(self):
        # The clients leave out a list that is emptied
        self.taxes_typed = True

    @fields.depends('product', 'unit_price', methods=['_get_sale_line'])
    def on_change_quantity(self):
        if self.product:
            self.unit_price = self._get_sale_line().unit_price

    @fields.depends(methods=['on_change_quantity'])
    def on_change_unit(self):
        self.on_change_quantity()

    @fields.depends('quantity', methods=['get_value'])
    def on_change_with_amount(self, name=None):
        return self.get_value(self.quantity)

    @fields.depends('unit_price', methods=['pricing_currency'])
    def get_value(self, quantity):
        "Return what the quantity, in the unit, is worth to the cent"
        price = self.unit_price or Decimal(0)
        if not math.isfinite(quantity or 0) or not math.isfinite(price):
            # It is refused when saved
            quantity = price = Decimal(0)
        amount = to_quantity(quantity) * price
        currency = self.pricing_currency
        return currency.round(amount) if currency else amount

    @fields.depends('product', 'description')
    def get_title(self):
        "Return what it is called without where it belongs"
        if self.product and not self.description:
            return self.product.rec_name
        return firstline(self.description or '')

    def get_rec_name(self, name):
        parent = getattr(self, self._pricing_parent)
        return f'{self.get_title()} @ {parent.rec_name}'

    @classmethod
    def search_rec_name(cls, name, clause):
        _, operator, value = clause
        if operator.startswith('!') or operator.startswith('not '):
            bool_op = 'AND'
        else:
            bool_op = 'OR'
        return [bool_op,
            ('description', *clause[1:]),
            ('product.rec_name', *clause[1:]),
            (f'{cls._pricing_parent}.rec_name', *clause[1:]),
            ]

    @classmethod
    def preprocess_values(cls, mode, values):
        values = super().preprocess_values(mode, values)
        # Tryton counts the digits of any value
        if not math.isfinite(values.get('unit_price') or 0):
            raise PriceError(gettext(
                    'project_progress_invoice.msg_price_number',
                    **cls.__names__(field='unit_price')))
        return values

    @classmethod
    def set_sale_values(cls, values, names):
        """
        Complete the values of a new record with those of a sale line

        The names are those of the fields that tell the sale.
        """
        record = cls(**{
                n: values.get(n) for n in [
                    *names, 'product', 'unit', 'quantity', 'unit_price']})
        line = record._get_sale_line()
        if record.product:
            values.setdefault('unit', line.unit.id if line.unit else None)
            values.setdefault('unit_price', line.unit_price)
        if not values.get('taxes_typed'):
            values.setdefault('taxes', [('add', [int(t) for t in line.taxes])])

    @staticmethod
    def is_amount(value):
        "Return if the value is a number of which an amount can be computed"
        return value is not None and -LIMIT < value < LIMIT  # False for NaN

    @property
    def revenue_account(self):
        "The account on which a sale line would be invoiced"
        pool = Pool()
        AccountConfiguration = pool.get('account.configuration')
        if self.product and self.product.account_category:
            account = self.product.account_revenue_used
        else:
            account = AccountConfiguration(1).get_multivalue(
                'default_category_account_revenue', company=self.company.id)
        if not account:
            raise RevenueAccountError(gettext(
                    'project_progress_invoice.msg_revenue_account_missing',
                    record=self.rec_name))
        return account

    def get_invoice_line(self, account, quantity=None, **values):
        """
        Return a new line of a customer invoice for the quantity, or for its
        own, on the account
        """
        pool = Pool()
        Line = pool.get('account.invoice.line')
        return Line(
            invoice_type='out',
            type='line',
            company=self.company,
            currency=self.pricing_currency,
            product=self.product,
            description=self.description,
            quantity=self.quantity if quantity is None else quantity,
            unit=self.unit,
            unit_price=self.unit_price,
            account=account,
            taxes=self.taxes,
            **values)
