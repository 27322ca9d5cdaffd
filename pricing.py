# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
import math

from trytond.i18n import gettext
from trytond.model import fields
from trytond.pool import Pool, PoolMeta

from .exceptions import PriceError


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
            sale=sale, type='line', company=company, product=product,
            quantity=quantity, unit=unit, unit_price=unit_price)
        line.taxes = line.compute_taxes(party)
        if product:
            category = product.default_uom_category
            if not unit or unit.category != category:
                line.unit = product.sale_uom or product.default_uom
            line.unit_price = line.compute_unit_price()
        return line


class SalePriceMixin:
    """
    Give to a record the unit, price, taxes and account of a sale line

    The method _get_sale_line must return the line that would sell it.
    """
    __slots__ = ()

    @classmethod
    def preprocess_values(cls, mode, values):
        values = super().preprocess_values(mode, values)
        # Tryton counts the digits of any value
        if not math.isfinite(values.get('unit_price') or 0):
            raise PriceError(gettext(
                    'project_progress_invoice.msg_price_number',
                    **cls.__names__(field='unit_price')))
        return values

    @fields.depends(
        'product', 'unit', 'unit_price', 'taxes', methods=['_get_sale_line'])
    def on_change_product(self):
        line = self._get_sale_line()
        self.taxes = line.taxes
        if self.product:
            self.unit = line.unit
            self.unit_price = line.unit_price

    @fields.depends('product', 'unit_price', methods=['_get_sale_line'])
    def on_change_quantity(self):
        if self.product:
            self.unit_price = self._get_sale_line().unit_price

    @fields.depends(methods=['on_change_quantity'])
    def on_change_unit(self):
        self.on_change_quantity()

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
        values.setdefault('taxes', [('add', [int(t) for t in line.taxes])])

    @property
    def revenue_account(self):
        "The account on which a sale line would be invoiced, if there is one"
        if self.product:
            return self.product.account_revenue_used
        return self._default_revenue_account

    @property
    def _default_revenue_account(self):
        pool = Pool()
        AccountConfiguration = pool.get('account.configuration')
        return AccountConfiguration(1).get_multivalue(
            'default_category_account_revenue', company=self.company.id)
