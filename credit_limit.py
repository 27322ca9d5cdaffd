# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
What is left to bill on progress in the credit of the customers

It needs the module sale_credit_limit.
"""
from trytond.pool import PoolMeta

from .common import to_quantity


class SaleLine(metaclass=PoolMeta):
    __name__ = 'sale.line'

    @property
    def credit_limit_quantity(self):
        quantity = super().credit_limit_quantity
        if quantity is not None and self.progress:
            # Tryton subtracts what the ordinary invoices bill
            ordinary = sum(
                to_quantity(l.quantity) for l in self.invoice_lines
                if l.type == 'line' and l.invoice and l.invoice.move)
            quantity = float(to_quantity(self.quantity_to_invoice) + ordinary)
        return quantity
