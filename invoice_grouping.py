# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
The invoices of contracts, which are not grouped

It needs the module sale_invoice_grouping.
"""
from trytond.pool import PoolMeta


class Sale(metaclass=PoolMeta):
    __name__ = 'sale.sale'

    def _get_invoice_grouping_fields(self, invoice):
        # A contract bills only the sales that are put in it
        return super()._get_invoice_grouping_fields(invoice) | {'progress'}
