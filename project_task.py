# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
The tasks of what is billed on progress

It needs the module sale_project_task.
"""
from trytond.pool import PoolMeta


class SaleLine(metaclass=PoolMeta):
    __name__ = 'sale.line'

    def _get_work_quantity(self):
        if (self.progress and self.unit
                and self.sale.task_creation_method == 'invoice'):
            # A part of a unit must not be rounded to the whole one
            return self.unit.floor(self.progress_paid_quantity)
        return super()._get_work_quantity()
