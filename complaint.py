# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
What complaints give back of progress invoices

It needs the module sale_complaint.
"""
import math

from trytond.modules.product import round_price
from trytond.pool import PoolMeta
from trytond.transaction import Transaction

from .common import to_quantity


class InvoiceLine(metaclass=PoolMeta):
    __name__ = 'account.invoice.line'

    @classmethod
    def copy(cls, lines, default=None):
        if (not Transaction().context.get('_account_invoice_correction')
                or not (default or {}).get('quantity')):
            return super().copy(lines, default=default)
        copies = []
        for line in lines:
            values = default.copy()
            quantity = to_quantity(values['quantity'])
            if (line.on_progress and line.unit
                    and line.unit.round(float(quantity)) != float(quantity)):
                # The ordinary line has no part of a unit: it gives back a lump
                # sum
                price = values.get('unit_price', line.unit_price)
                values['quantity'] = math.copysign(1, quantity)
                values['unit_price'] = round_price(abs(quantity) * price)
            copies.extend(super().copy([line], default=values))
        return copies
