# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""Who may do what with advances and interventions"""
from contextlib import contextmanager
from decimal import Decimal

import pytest
from proteus import Model, Wizard
from trytond.exceptions import UserError
from trytond.model.exceptions import AccessError
from trytond.tests.tools import set_user

from .tools import (
    create_advance, create_deposit_account, create_intervention,
    create_project, create_project_type, credit, sell_advance, value)

pytestmark = [
    pytest.mark.usefixtures('database'),
    pytest.mark.xdist_group('test_access')]


@contextmanager
def user_of(*groups, company=True):
    "Act as a user of the groups"
    User = Model.get('res.user')
    Group = Model.get('res.group')
    name = f'{"-".join(groups)}-{company}'
    user = User(name=name, login=name)
    if not company:
        user.company = None
        while user.companies:
            user.companies.pop()
    user.groups.extend(Group.find([('name', 'in', groups)]))
    user.save()
    assert len(user.groups) == len(groups)
    set_user(user)
    try:
        yield
    finally:
        set_user(1)
        user.login = f'{name}-{user.id}'
        user.save()


@pytest.fixture
def project():
    return create_project(
        create_project_type(create_deposit_account(), propose_material=True))


def test_without_group(project):
    advance = sell_advance(project)
    draft = create_advance(project)
    intervention = create_intervention(project, ('service', 1, '500'))
    with user_of():
        for model in [
                'project.advance_invoice', 'project.intervention',
                'project.intervention.request', 'project.intervention.line']:
            with pytest.raises(AccessError):
                Model.get(model).find([])
        for record, wizard in [
                (draft, 'project.advance_invoice.valorize'),
                (intervention, 'project.intervention.valorize'),
                ]:
            with pytest.raises(UserError):
                record._proxy.valorize([record.id], record._context)
            with pytest.raises(UserError):
                Wizard(wizard, [record])
        with pytest.raises(UserError):
            Wizard('project.intervention.value_many')
        # The totals of the project are for whoever sees the project
        assert Model.get('project.work')(
            project.id).advance_residual_amount == 5000
    advance.reload()
    draft.reload()
    intervention.reload()
    assert not draft.billed and intervention.state == 'done'


def test_planner(project):
    "Who only plans and values needs no access to the accounting"
    advance = sell_advance(project)
    with user_of("Project Intervention"):
        intervention = create_intervention(project, ('service', 1, '500'))
        Wizard('project.intervention.valorize', [intervention])
        intervention.reload()
        assert intervention.state == 'invoiced'
        assert intervention.covered_amount == 500
        with pytest.raises(AccessError):
            Model.get('project.advance_invoice')(
                work=project, description="X", line_type='uncoded',
                quantity=1, unit_price=Decimal(1)).save()
        with pytest.raises(UserError):
            advance._proxy.valorize([advance.id], advance._context)
    intervention = Model.get('project.intervention')(intervention.id)
    assert intervention.invoices[0].untaxed_amount == 0


def test_seller(project):
    "Who sells advances needs no access to the accounting"
    with user_of("Project Advance Invoice"):
        advance = create_advance(project)
        Wizard('project.advance_invoice.valorize', [advance])
        advance.reload()
        assert advance.billed
        advance.click('update_residual')
    advance = Model.get('project.advance_invoice')(advance.id)
    assert advance.invoices[0].untaxed_amount == 5000


def test_accountant(project):
    "Who keeps the accounts needs no group of the project"
    advance = create_advance(project)
    invoice = value(advance)
    with user_of("Accounting"):
        invoice = Model.get('account.invoice')(invoice.id)
        invoice.click('post')
        assert invoice.lines[0].advance_invoice.rec_name == advance.rec_name
    intervention = create_intervention(project, ('service', 1, '500'))
    invoice = value(intervention)
    with user_of("Accounting"):
        invoice = Model.get('account.invoice')(invoice.id)
        invoice.click('post')
        assert invoice.lines[-1].advance_invoice.residual_amount == 4500
        credit(invoice).click('post')
        with pytest.raises(AccessError):
            advance.quantity = 2
            advance.save()
    intervention.reload()
    advance.reload()
    assert intervention.state == 'done'
    assert advance.residual_amount == 5000


def test_other_company(project):
    sell_advance(project)
    create_intervention(project, ('service', 1, '500'))
    with user_of(
            "Project Intervention", "Project Advance Invoice",
            company=False):
        for model in [
                'project.advance_invoice', 'project.intervention',
                'project.intervention.line']:
            assert not Model.get(model).find([])
        wizard = Wizard('project.intervention.value_many')
        wizard.execute('value')
        assert not Model.get('project.intervention').find([])
