# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
from proteus import Model, Wizard
from trytond.modules.company.tests import (
    CompanyTestMixin, PartyCompanyCheckEraseMixin)
from trytond.tests.test_tryton import ModuleTestCase

from .tools import activate


class ProjectProgressInvoiceTestCase(
        PartyCompanyCheckEraseMixin, CompanyTestMixin, ModuleTestCase):
    "Test Project Progress Invoice module"
    module = 'project_progress_invoice'
    extras = [
        'account_invoice_correction', 'sale_advance_payment',
        'sale_amendment', 'sale_project_task']


del ModuleTestCase


def test_activate_another_later():
    activate()
    Module = Model.get('ir.module')
    module, = Module.find([('name', '=', 'sale_amendment')])
    module.click('activate')
    Wizard('ir.module.activate_upgrade').execute('upgrade')
    module.reload()
    assert module.state == 'activated'
