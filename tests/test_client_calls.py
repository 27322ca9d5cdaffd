# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""
What a script, a copy, a deletion or an import can not do any more than the
screen and its buttons
"""
import datetime as dt
import math
from decimal import Decimal

import pytest
from proteus import Model
from trytond.exceptions import UserError
from trytond.model import fields
from trytond.model.modelstorage import _record_eval_pyson
from trytond.modules.account.tests.tools import get_accounts
from trytond.pyson import PYSON
from trytond.tests.test_tryton import DB_NAME
from trytond.transaction import Transaction

from .refused import refused, snapshot
from .registry import call, get_fields, get_models, get_pool
from .tools import (
    billed, create, create_advance, create_deposit_account,
    create_intervention, create_invoice, create_project, create_project_type,
    create_sale, credit, get, next_invoice, pay, sell_advance, set_current,
    user_of, value, work, write)

pytestmark = [
    pytest.mark.usefixtures('database'),
    pytest.mark.xdist_group('test_client_calls')]

TODAY = dt.date.today()
GROUPS = [
    "Project Intervention", "Project Advance Invoice",
    "Project Administration", "Accounting", "Sales"]


@pytest.fixture
def user():
    "Who has all the rights but those of the administrator"
    with user_of(*GROUPS):
        yield


@pytest.fixture(scope='module')
def type_(database):
    return create_project_type(
        create_deposit_account(), propose_material=True)


@pytest.fixture
def project(type_):
    return create_project(type_)


def bill_sale(*ratios, **kwargs):
    "Return a sale and its posted first invoice"
    sale = create_sale(*[(10, '100')] * len(ratios), **kwargs)
    invoice, = sale.click('progress_invoice')
    set_current(invoice, *ratios)
    invoice.click('post')
    sale.reload()
    return sale, invoice


def post_first(invoice=None):
    "Return the posted first invoice of a contract, half billed"
    invoice = invoice or create_invoice((10, '100'))
    set_current(invoice, .5)
    invoice.click('post')
    return invoice


def unchanged(before):
    after = snapshot()
    for table, rows in before.items():
        assert after[table] == rows, table


# What is read-only on screen

def is_readonly(record, field):
    "Test if the client does not let edit the field of the record"
    def evaluate(state):
        if isinstance(state, PYSON):
            return _record_eval_pyson(record, state)
        return state

    return (
        field.readonly
        or evaluate(field.states.get('readonly', False))
        or not evaluate(field.states.get('editable', True)))


@pytest.mark.parametrize('create_draft, expected', [
        (lambda: create_sale((10, '100')).click('progress_invoice')[0], True),
        (lambda: create_sale((10, '0')).click('progress_invoice')[0], True),
        (lambda: create_invoice((10, '100')), False),
        (lambda: credit(post_first()), True),
        ], ids=['sale', 'given away', 'free', 'credit'])
def test_total_is_typed_on_free_lines_only(create_draft, expected):
    line, = create_draft().lines
    id_ = line.id
    Line = get_models()['account.invoice.line']
    with Transaction().start(DB_NAME, 1, readonly=True):
        assert is_readonly(
            Line(id_), Line.progress_total_quantity) == expected


def get_other(record, name, field):
    "Return another value than the one of the field"
    current = getattr(record, name)
    if isinstance(field, fields.Boolean):
        return not current
    elif isinstance(field, fields.Selection):
        default = record._defaults[name]()
        # The default is accepted when it is created
        return min(
            (k for k, _ in field.selection if k != current),
            key=lambda k: k == default)
    elif isinstance(field, fields.Integer):
        return (current or 0) + 7
    elif isinstance(field, fields.Numeric):
        return (current or Decimal(0)) + 1
    elif isinstance(field, fields.Float):
        return (current or 0) + 1.
    elif isinstance(field, fields.Timestamp):
        return (current or dt.datetime.now()) - dt.timedelta(hours=1)
    elif isinstance(field, fields.Date):
        return (current or TODAY) - dt.timedelta(days=1)
    elif isinstance(field, fields.Many2One):
        Target = field.get_target()
        others = Target.search([
                ('id', '!=', current.id if current else -1)], limit=1)
        return others[0].id if others else None
    elif isinstance(field, fields.Reference):
        # The sale is the only origin
        SaleLine = get_pool().get('sale.line')
        return str(SaleLine.search([], limit=1)[0])
    elif isinstance(field, fields.Char):
        return "Other"


def get_readonly(model, id_):
    "Return by name of read-only field of the module another value"
    Model_ = get_models()[model]
    with Transaction().start(DB_NAME, 1, readonly=True):
        record = Model_(id_)
        return {
            n: get_other(record, n, f) for n, f in get_fields(Model_).items()
            if not isinstance(f, (fields.One2Many, fields.Many2Many))
            and is_readonly(record, f)}


def get_states(project):
    "Return tuples of record and count of fields not to edit of it"
    Request = Model.get('project.intervention.request')
    advance = sell_advance(project)
    request, closed = Request(work=project), Request(work=project)
    request.click('plan')
    closed.click('close')
    planned, = request.interventions
    invoiced = create_intervention(project, ('service', 1, '500'))
    project_invoice = value(invoiced)
    cancelled = create_intervention(project, ('service', 1, '500'))
    cancelled.click('cancel')
    sale, posted = bill_sale(.5, .5)
    draft = next_invoice(posted, .7, .7, post=False)
    line = work(draft)[1]
    line.progress_completed = True
    draft.save()
    first = create_invoice((10, '100'))
    validated = create_invoice((10, '100'))
    validated.click('validate_invoice')
    paid = create_invoice((10, '100'))
    paid.click('post')
    pay(paid)
    note = credit(paid)
    ordinary = create_invoice((10, '100'), progress=False)
    return [
        create_advance(project), advance, request, closed, planned, invoiced,
        *invoiced.lines, cancelled, *cancelled.lines,
        project_invoice, *project_invoice.lines,
        *sale.lines, posted, *posted.lines, draft, *draft.lines, first,
        *first.lines, validated, *validated.lines, paid, *paid.lines, note,
        *note.lines, ordinary, *ordinary.lines, project]


def test_read_only_on_screen_is_so_for_a_script(project, user):
    tried = {}
    for record in get_states(project):
        name = record.__class__.__name__
        for field, other in get_readonly(name, record.id).items():
            before = snapshot()
            old, = call(name, 'read', [record.id], [field])
            try:
                call(name, 'write', [record.id], {field: other})
            except UserError:
                unchanged(before)
            # What the server derives is not refused but left out
            new, = call(name, 'read', [record.id], [field])
            assert new[field] == old[field], (name, field)
            tried.setdefault(name, set()).add(field)
    # All the stored fields that are not always editable
    assert {n: len(f) for n, f in tried.items()} == {
        'project.advance_invoice': 11,
        'project.intervention.request': 8,
        'project.intervention': 12,
        'project.intervention.line': 8,
        'account.invoice': 10,
        'account.invoice.line': 20,
        'sale.line': 2,
        }


def get_stored_readonly(Model_):
    return {
        n: f for n, f in get_fields(Model_).items()
        if (f.readonly or n in getattr(Model_, '_readonly_fields', []))
        and not isinstance(f, (fields.One2Many, fields.Many2Many))}


def test_read_only_fields_are_not_created(project, user):
    "Neither with the record nor with its copy"
    intervention = create_intervention(project, ('service', 1, '500'))
    sale = create_sale((1, '1'), state='draft')
    invoice = create_invoice((10, '100'))
    template = {
        'project.advance_invoice': {
            'work': project.id, 'line_type': 'uncoded',
            'description': "Days", 'quantity': 1.,
            'unit_price': Decimal(1)},
        'project.intervention.request': {'work': project.id},
        'project.intervention': {'work': project.id},
        'account.invoice': {
            'type': 'out', 'progress': True, 'party': invoice.party.id,
            'account': invoice.account.id,
            'invoice_address': invoice.invoice_address.id},
        'account.invoice.line': {
            'invoice': invoice.id, 'type': 'line', 'description': "New",
            'account': invoice.lines[0].account.id, 'quantity': 1.,
            'unit_price': Decimal(1)},
        'sale.line': {
            'sale': sale.id, 'quantity': 1., 'unit_price': Decimal(1)},
        'account.progress_contract': {'party': invoice.party.id},
        'account.progress_contract.line': {
            'contract': invoice.progress_contract.id, 'description': "New",
            'quantity': 1., 'unit_price': Decimal(1)},
        }
    records = {r.__class__.__name__: r for r in [
            create_advance(project), intervention, invoice, sale.lines[0],
            create('account.progress_contract', party=invoice.party.id),
            create('project.intervention.request', work=project.id)]}
    records['account.invoice.line'] = invoice.lines[0]
    records['account.progress_contract.line'] = (
        invoice.lines[0].progress_line)
    tried = 0
    for name, Model_ in get_models().items():
        for field, definition in get_stored_readonly(Model_).items():
            with Transaction().start(DB_NAME, 1, readonly=True):
                other = get_other(
                    Model_(records[name].id), field, definition)
            create(name, **template[name])
            with refused(own=False):
                create(name, **template[name], **{field: other})
                pytest.fail(f"{name}.{field} is created as {other}")
            with refused(own=False):
                call(name, 'copy', [records[name].id], {field: other})
                pytest.fail(f"{name}.{field} is copied as {other}")
            tried += 1
    assert tried >= 20


@pytest.mark.parametrize('name, value_', [
        ('state', 'posted'), ('state', 'paid'), ('state', 'cancelled'),
        ('cancel_move', 1), ('move', 1)])
def test_state_of_an_invoice_is_not_typed(project, user, name, value_):
    "It tells what is billed of a contract or of an advance"
    first = create_invoice((10, '100'))
    other = post_first()
    if name != 'state':
        value_ = other.move.id
    for invoice in [
            first, next_invoice(other, .5, post=False),
            value(create_advance(project))]:
        with refused(own=False):
            call('account.invoice', 'write', [invoice.id], {name: value_})
        # The copy of the invoice of a project is an ordinary invoice
        if invoice.progress:
            with refused(own=False):
                call('account.invoice', 'copy', [invoice.id], {name: value_})
    if name == 'state':
        for invoice in [other, sell_advance(project).invoices[0]]:
            with refused(own=False):
                call('account.invoice', 'write', [invoice.id], {
                        'state': 'draft'})


def test_sale_of_a_contract_is_not_typed(user):
    sale, invoice = bill_sale(.5)
    quotation, _ = bill_sale(.5, state='quotation')
    for values in [
            {'state': 'draft'}, {'state': 'cancelled'}, {'state': 'done'},
            {'invoice_method': 'order'}, {'invoice_method': 'manual'},
            ]:
        for record in [sale, quotation]:
            with refused(own=False):
                call('sale.sale', 'write', [record.id], values)
    other = create_sale((1, '1'), state='draft')
    line = sale.lines[0]
    for values in [
            {'sale': other.id}, {'type': 'comment'},
            {'unit': get('product.uom', "Hour").id}]:
        with refused(own=False):
            call('sale.line', 'write', [line.id], values)
    with refused(own=False):
        call('sale.sale', 'write', [other.id], {
                'lines': [('add', [line.id])]})
    for action in ['remove', 'delete']:
        with refused(own=False):
            call('sale.sale', 'write', [sale.id], {
                    'lines': [(action, [line.id])]})
    # What is not in a contract is left to Tryton
    call('sale.sale', 'write', [other.id], {'invoice_method': 'order'})


def test_ordinary_line_has_no_figures(user):
    invoice = create_invoice((1, '100'), progress=False)
    line, = invoice.lines
    for name in [
            'progress_total_quantity', 'progress_current_quantity',
            'progress_current', 'progress_previous_quantity']:
        write(line, **{name: 5.})
        assert getattr(line, name) is None
    new = create('account.invoice.line',
        invoice=invoice.id, type='line', description="New",
        account=line.account.id, quantity=1., unit_price=Decimal(1),
        progress_current_quantity=5., progress_total_quantity=5.)
    assert (new.amount, new.progress_current_quantity) == (1, None)
    invoice.reload()
    assert invoice.untaxed_amount == 101


def test_amount_of_a_supplier_line_needs_no_field_of_the_module(user):
    invoice = Model.get('account.invoice')(type='in')
    invoice.party = get('party.party', "Customer")
    line = invoice.lines.new()
    line.account = get_accounts()['expense']
    line.taxes.extend(Model.get('account.tax').find([]))
    line.quantity = 1
    line.unit_price = Decimal(100)
    assert line.amount == 100
    # What the taxes do not give back is a part of it
    line.taxes_deductible_rate = Decimal('.5')
    assert line.amount == 110


def test_validated_invoice_is_as_it_was_validated(user):
    draft = next_invoice(post_first(), post=False)
    draft.click('validate_invoice')
    line, = work(draft)
    for name in ['progress_current', 'progress_current_quantity']:
        with refused(line, draft):
            write(line, **{name: 1.})
    with refused(draft, own=False):  # by Tryton itself since 8.2
        write(draft, progress_closing=True)
    with refused(draft):
        write(draft, lines=[('write', [line.id], {
                            'progress_completed': True})])
    with refused(draft):
        set_ratio(draft, 1.)
    draft.click('draft')
    set_ratio(draft, 1.)


def set_ratio(invoice, ratio):
    context = {
        'active_model': 'account.invoice', 'active_id': invoice.id,
        'active_ids': [invoice.id]}
    session, *_ = call(
        'account.invoice.set_progress', 'create', type='wizard', **context)
    call('account.invoice.set_progress', 'execute', session,
        {'start': {'ratio': ratio, 'section': None}}, 'set_', type='wizard',
        **context)


def test_progress_is_not_set_where_its_button_is_not(user):
    first = post_first()
    note = credit(first)
    ordinary = create_invoice((10, '100'), progress=False)
    for invoice in [first, note, ordinary]:
        with refused(invoice):
            set_ratio(invoice, .5)


def test_unit_of_an_item(user):
    invoice = create_invoice((10, '100'))
    hour, day = [get('product.uom', n) for n in ["Hour", "Day"]]
    write(work(invoice)[0], unit=hour.id)
    draft = next_invoice(post_first(invoice), post=False)
    line, = work(draft)
    with refused(line, draft):
        write(line, unit=day.id)
    with refused(line, draft):
        write(line, unit=None)
    write(line, unit=hour.id, progress_current=.6)
    assert billed(draft) == [100]


def test_closed_request_does_not_change(project, user):
    request = create('project.intervention.request', work=project.id)
    request.click('plan')
    intervention, = request.interventions
    intervention.click('do')
    request.click('close')
    for values in [
            {'description': "Other"}, {'party': None},
            {'date': TODAY - dt.timedelta(days=1)}]:
        with refused(request):
            write(request, **values)
    # What Close refuses is reached by no other way
    with refused(request):
        intervention.click('plan')
    with refused(request):
        create('project.intervention', work=project.id, request=request.id)
    other = create('project.intervention', work=project.id)
    with refused(request):
        write(other, request=request.id)
    with refused(request):
        write(request, interventions=[('add', [other.id])])
    copy, = intervention.duplicate()
    assert (copy.state, copy.request) == ('planned', None)
    request.click('open')
    copy, = intervention.duplicate()
    assert copy.request == request
    write(other, request=request.id)


def test_advance_with_an_opening_stays_of_its_party(project, user):
    advance = create_advance(project, opening_quantity=5)
    value(create_intervention(project, ('service', 1, '500')))
    other = create_project(project.project_type, name="Other")
    with refused(project, advance):
        write(project, party=get('party.party', "Other Customer").id)
    for values in [
            {'work': other.id}, {'type': 'to_balance'}, {'quantity': 1.},
            {'unit_price': Decimal(1)}, {'opening_quantity': 0.},
            {'opening_quantity': None}]:
        with refused(advance):
            write(advance, **values)
    with refused(advance):
        advance.delete()
    with refused(own=False):
        project.delete()


# One2Many of what is read-only

def test_lists_of_invoice_lines_are_read_only(project, user):
    advance = sell_advance(project)
    other = create_advance(project)
    intervention = create_intervention(project, ('service', 1, '500'))
    invoice = value(intervention)
    hand = create_invoice((1, '100'), progress=False)
    line, cancellation = invoice.lines[1:]
    new = {
        'invoice': hand.id, 'type': 'line', 'quantity': 1.,
        'description': "New", 'account': hand.lines[0].account.id,
        'unit_price': Decimal(1)}
    progress = post_first()
    draft = next_invoice(progress, post=False)
    item = work(progress)[0].progress_line
    for record, name, lines in [
            (advance, 'invoice_lines', advance.invoice_lines),
            (advance, 'cancellation_lines', [cancellation]),
            (intervention, 'invoice_lines', invoice.lines),
            (intervention.lines[0], 'invoice_lines', [line]),
            (item, 'invoice_lines', [*work(progress), *work(draft)]),
            ]:
        figures = get_figures(advance, intervention, progress, draft)
        for line_ in lines:
            for command in [
                    ('remove', [line_.id]),
                    ('write', [line_.id], {'advance_amount': Decimal(1)}),
                    ('write', [line_.id], {'intervention': None}),
                    ('write', [line_.id], {'progress_line': None}),
                    ('copy', [line_.id], {'advance_invoice': other.id}),
                    ('copy', [line_.id], {'progress_line': item.id}),
                    ('add', [hand.lines[0].id]),
                    ('create', [new]),
                    ]:
                before = snapshot()
                try:
                    call(record.__class__.__name__, 'write', [record.id], {
                            name: [command]})
                except UserError:
                    unchanged(before)
                assert figures == get_figures(
                    advance, intervention, progress, draft), command


# Deletion, copy and import

def refuse_import(model, names, *rows):
    with refused(own=False):
        call(model, 'import_data', names, list(rows))
        pytest.fail(f"{model} {names}")


def test_what_is_billed_is_not_deleted(project, user):
    advance = sell_advance(project)
    intervention = create_intervention(project, ('service', 1, '500'))
    value(intervention)
    request = create('project.intervention.request', work=project.id)
    request.click('plan')
    line, = intervention.lines
    for model, id_ in [
            ('project.advance_invoice', advance.id),
            ('project.intervention', intervention.id),
            ('project.intervention.line', line.id),
            ('project.intervention.request', request.id),
            ('project.work', project.id),
            ('project.type', project.project_type.id),
            ]:
        with refused(own=False):
            call(model, 'delete', [id_])
    for name, id_ in [
            ('advance_invoices', advance.id),
            ('interventions', intervention.id)]:
        for command in ['delete', 'remove']:
            with refused(own=False):
                write(project, **{name: [(command, [id_])]})
    with refused(own=False):
        write(intervention, lines=[('delete', [line.id])])
    with refused(own=False):
        write(request, interventions=[
                ('delete', [intervention.id])])


def test_project_with_a_billed_advance_is_not_deleted(user, type_):
    "Nor is its parent"
    parent = create_project(type_, name="Parent")
    project = create_project(type_, parent=parent)
    advance = sell_advance(project)
    with refused(advance):
        project.delete()
    with refused(own=False):
        parent.delete()
    with refused(own=False):
        call('project.work', 'delete', [project.id, parent.id])
    # What is not billed goes with its project
    project = create_project(type_)
    advance = create_advance(project)
    project.delete()
    assert not Model.get('project.advance_invoice').find([
            ('id', '=', advance.id)])


def test_cancelled_intervention_is_deleted_with_its_lines(project, user):
    intervention = create_intervention(project, ('service', 1, '500'))
    intervention.click('cancel')
    intervention.delete()
    planned = create_intervention(
        project, ('service', 1, '500'), state='planned')
    planned.delete()


def test_copy_of_a_sale_in_a_contract(user):
    sale, _ = bill_sale(.5)
    copy, = sale.duplicate()
    assert copy.state == 'draft'
    assert not copy.lines[0].progress
    assert not copy.invoices
    copy.click('cancel')
    copy.delete()
    line_id, = call('sale.line', 'copy', [sale.lines[0].id], {
            'sale': create_sale((1, '1'), state='draft').id})
    assert not Model.get('sale.line')(line_id).progress


def test_import_reaches_no_state(project, user):
    intervention = create_intervention(project, ('service', 1, '500'))
    request = create('project.intervention.request', work=project.id)
    advance = sell_advance(project)
    invoiced = create_intervention(project, ('service', 1, '500'))
    value(invoiced)
    posted = post_first()
    draft = next_invoice(posted, .7, post=False)
    line, = work(draft)
    work_name = Model.get('project.work')(project.id).rec_name
    today = TODAY.isoformat()
    for model, id_, values in [
            ('project.intervention', intervention.id, {
                    'state': 'invoiced', 'number': "X"}),
            ('project.intervention', invoiced.id, {
                    'state': 'done', 'date': '2020-01-01',
                    'description': "X"}),
            ('project.intervention.request', request.id, {
                    'state': 'closed', 'number': "X"}),
            ('project.intervention.line', invoiced.lines[0].id, {
                    'quantity': '2', 'unit_price': '1', 'kind': 'expense'}),
            ('project.advance_invoice', advance.id, {
                    'quantity': '20', 'unit_price': '1',
                    'type': 'to_balance', 'residual_date': today}),
            ('account.invoice', posted.id, {
                    'state': 'draft', 'progress': 'False',
                    'progress_closing': 'True', 'progress_number': '7'}),
            ('account.invoice', draft.id, {
                    'state': 'posted', 'progress': 'False',
                    'progress_number': '7', 'progress_contract': ''}),
            ('account.invoice.line', line.id, {
                    'progress_current': '1.5', 'progress_previous': '.1',
                    'progress_line': '', 'advance_amount': '5'}),
            ]:
        for name, text in values.items():
            refuse_import(model, ['id', name], [id_, text])
    Work = Model.get('project.work')
    assert Work.find([('rec_name', '=', work_name)])
    for state in ['done', 'invoiced', 'cancelled']:
        refuse_import(
            'project.intervention', ['work', 'date', 'state'],
            [work_name, today, state])
    refuse_import(
        'project.work', ['id', 'advance_invoices/id',
            'advance_invoices/quantity'],
        [project.id, advance.id, '3'])
    refuse_import(
        'project.intervention', ['id', 'lines/kind', 'lines/description',
            'lines/quantity', 'lines/unit_price'],
        [invoiced.id, 'service', "More", '1', '1'])
    # What is typed is imported
    call('project.intervention.request', 'import_data',
        ['id', 'description'], [[request.id, "Imported"]])
    request.reload()
    assert request.description == "Imported"


def test_lines_do_not_move_between_invoices(project, user):
    sale, posted = bill_sale(.5)
    draft = next_invoice(posted, .7, post=False)
    other = create_invoice((1, '100'))
    ordinary = create_invoice((1, '100'), progress=False)
    line, = work(draft)
    sell_advance(project)
    project_invoice = value(create_intervention(
            project, ('service', 1, '500')))
    _, covered, cancellation = project_invoice.lines
    with refused(own=False):
        write(other, lines=[('add', [line.id])])
    for line_ in [covered, cancellation]:
        with refused(own=False):
            write(ordinary, lines=[('add', [line_.id])])
        with refused(own=False):
            write(project_invoice, lines=[('remove', [line_.id])])
    with refused(own=False):
        write(other, lines=[('copy', [line.id], {'progress_line': line.id})])
    for record in [posted, sale]:
        with refused(own=False):
            write(record, lines=[('delete', [record.lines[0].id])])
    # A line in another invoice bills nothing of the contract
    write(ordinary, lines=[('copy', [line.id], {})])
    assert ordinary.lines[-1].progress_line is None
    sale.reload()
    assert sale.lines[0].progress_billed_quantity == 5


def test_ordinary_line_moved_to_a_contract_is_work(user):
    draft = create_invoice((1, '100'))
    ordinary = create_invoice((2, '50'), progress=False)
    line, = ordinary.lines
    write(draft, lines=[('add', [line.id])])
    line.reload()
    assert line.progress_line.contract == draft.progress_contract
    assert (line.progress_total_quantity, line.progress_current) == (2, 1)
    assert draft.progress_total_amount == draft.untaxed_amount == 200
    set_current(draft, 1., .5)
    draft.click('post')
    assert billed(next_invoice(draft, 1., 1.)) == [0, 50]


def test_origin_of_what_is_billed_does_not_change(user):
    sale, first = bill_sale(.5)
    second = next_invoice(first, .7)
    for line in [*first.lines, *second.lines]:
        for origin in ['', str(first.lines[0])]:
            # The server of 8.2 refuses it as read-only
            with refused(own=False):
                write(line, origin=origin or None)
    assert billed(second) == [200]


def test_price_of_a_covered_line_is_cleared(project, user):
    sell_advance(project)
    invoice = value(create_intervention(project, ('service', 1, '500')))
    line = invoice.lines[1]
    line.unit_price = None
    assert invoice.untaxed_amount == -500


# Numbers

@pytest.mark.parametrize('number', [
        math.nan, math.inf, -math.inf, 1e300, -1e300, 1e25, -1, 0, None])
def test_number_is_refused_or_harmless(project, user, number):
    "It is never an error of the program"
    advance = create_advance(project)
    opening = create_advance(project, opening_quantity=1)
    intervention = create_intervention(project, ('service', 1, '500'))
    sell_advance(project)
    line, = intervention.lines
    price = number
    if number is not None:
        price = Decimal(str(number))
    for record, name, value_ in [
            (advance, 'quantity', number),
            (advance, 'unit_price', price),
            (advance, 'opening_quantity', number),
            (opening, 'opening_quantity', number),
            (opening, 'unit_price', price),
            (line, 'quantity', number),
            (line, 'unit_price', price),
            ]:
        before = snapshot()
        try:
            write(record, **{name: value_})
        except UserError:
            unchanged(before)
        else:
            # It is still read and valued
            record.reload()
            record.amount
            project.reload()
            assert project.advance_residual_amount.is_finite()
            intervention.reload()
            assert intervention.total_amount.is_finite()
            assert intervention.covered_amount.is_finite()
            for billing in [advance, intervention]:
                try:
                    value(billing).delete()
                except UserError:
                    pass
        record.reload()
        for search in ['residual_amount', 'residual_quantity']:
            call('project.advance_invoice', 'search',
                [(search, '>', value_)], 0, None, None)


def get_figures(*records):
    "Return what counts of the records"
    result = []
    for record in records:
        record.reload()
        result.append([
                getattr(record, n) for n in [
                    'state', 'billed', 'residual_amount',
                    'residual_quantity', 'total_amount', 'covered_amount',
                    'untaxed_amount', 'progress_current_amount']
                if hasattr(record, n)])
    return result
