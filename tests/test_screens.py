# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""What the windows show and open"""
import datetime as dt
from decimal import Decimal

import pytest
import trytond.config as config
from lxml import etree
from proteus import Model, Wizard
from trytond.exceptions import UserError
from trytond.modules.project_progress_invoice.exceptions import (
    InterventionError, ProgressLineError)
from trytond.pyson import PYSONDecoder

from .refused import refused
from .registry import call, get_related
from .tools import (
    create_advance, create_intervention, create_invoice, create_project,
    create_project_type, create_sale, next_invoice, sell_advance, set_current,
    user_of, value, work, write)


@pytest.fixture(scope='module', autouse=True)
def database_of_screens(database):
    pass


@pytest.fixture
def invoice():
    "The draft of a contract of two sections, a line before them"
    sale = create_sale((10, '100'), (20, '10'), (30, '1'), state='draft')
    for sequence, line in zip([1, 3, 5], list(sale.lines)):
        line.sequence = sequence
    for sequence, title in [(2, "Ground floor"), (4, "First floor")]:
        sale.lines.new(type='title', description=title, sequence=sequence)
    sale.click('quote')
    invoice, = sale.click('progress_invoice')
    return invoice


def currents(invoice):
    return [
        l.progress_current for l in invoice.lines if l.type == 'line']


def test_enter_progress_lists_what_progresses(invoice):
    lines = invoice.click('enter_progress')
    assert [l.progress_total_quantity for l in lines] == [10, 20, 30]
    assert [
        l.progress_section and l.progress_section.rec_name for l in lines
        ] == [None, "Ground floor", "First floor"]


def test_enter_progress_of_a_client_brings_back_the_invoice(invoice):
    action = call(
        'account.invoice', 'enter_progress', [invoice.id], client='a client')
    assert (action['type'], action['wiz_name']) == (
        'ir.action.wizard', 'account.invoice.enter_progress')


def test_rows_are_saved_together(invoice):
    wizard = Wizard('account.invoice.enter_progress', [invoice])
    ground, first, second = wizard.form.lines
    ground.progress_current = .5
    first.progress_current_quantity = 5
    second.progress_completed = True
    wizard.execute('save')
    invoice.reload()
    assert currents(invoice) == [.5, .25, 0]
    assert [l.progress_completed for l in work(invoice)] == [
        False, False, True]
    assert invoice.untaxed_amount == 550


def test_only_what_is_typed_on_the_rows_is_saved(invoice):
    wizard = Wizard('account.invoice.enter_progress', [invoice])
    ground, first, _ = wizard.form.lines
    ground.progress_current = .5
    assert first.progress_current == 0
    set_current(invoice, 0, 0, .9)
    wizard.execute('save')
    invoice.reload()
    assert currents(invoice) == [.5, 0, .9]


def test_row_is_saved_by_itself(invoice):
    _, line, _ = invoice.click('enter_progress')
    line.progress_current = .5
    line.save()
    invoice.reload()
    assert currents(invoice) == [0, .5, 0]
    assert invoice.untaxed_amount == 100


def test_no_row_is_added(invoice):
    view = call(
        'account.invoice.enter_progress.start', 'fields_view_get', None,
        'form')
    lines = view['fields']['lines']
    assert PYSONDecoder().decode(lines['size']) == 0
    tree, = lines['views'].values()
    assert etree.fromstring(tree['arch']).get('creatable') == '0'
    other = create_invoice((10, '100'))
    line, = work(other)
    rows = [{'id': l.id} for l in work(invoice)]
    for row in [{'id': line.id}, {}]:
        with refused(invoice):
            execute_enter_progress(
                invoice, [*rows, {**row, 'progress_current': .5}])


def test_no_row_is_added_in_the_relate(invoice):
    view = get_entry_view()
    with refused():
        call(
            'account.invoice.line', 'default_get', list(view['fields']),
            progress_entry=True)
    account = work(invoice)[0].account
    for values in [{}, {
                'description': "New", 'quantity': 1., 'account': account.id,
                'unit_price': Decimal(1), 'progress_current': .5,
                'party': invoice.party.id, 'invoice_type': 'out',
                }]:
        with refused():
            call(
                'account.invoice.line', 'create', [values],
                progress_entry=True)


def test_no_row_is_deleted(invoice):
    _, *lines = work(invoice)
    with refused(invoice):
        execute_enter_progress(invoice, [{'id': l.id} for l in lines])


def execute_enter_progress(invoice, lines):
    context = {
        'active_model': 'account.invoice', 'active_id': invoice.id,
        'active_ids': [invoice.id]}
    name = 'account.invoice.enter_progress'
    session, *_ = call(name, 'create', type='wizard', **context)
    call(name, 'execute', session, {'start': {'lines': lines}}, 'save',
        type='wizard', **context)


def set_progress(ratio, *lines):
    wizard = Wizard('account.invoice.set_progress', lines)
    wizard.form.ratio = ratio
    wizard.execute('set_')


def test_progress_of_the_selected_rows(invoice):
    ground, first, second = work(invoice)
    set_progress(.8, second)
    invoice.reload()
    assert currents(invoice) == [0, 0, .8]
    set_progress(.5, ground, first)
    invoice.reload()
    assert currents(invoice) == [.5, .5, .8]


def test_progress_of_the_selected_rows_of_many_invoices(invoice):
    other = create_invoice((10, '100'))
    set_progress(.8, work(invoice)[0], work(other)[0])
    invoice.reload()
    other.reload()
    assert [currents(i) for i in [invoice, other]] == [[.8, 0, 0], [.8]]


def test_progress_of_a_selected_row_that_does_not_progress(invoice):
    last = work(invoice)[-1]
    write(last, progress_completed=True)
    title = next(l for l in invoice.lines if l.type == 'title')
    set_progress(.8, title, last)
    invoice.reload()
    assert currents(invoice) == [0, 0, 0]


def get_notifications(invoice, ratio, section=None, lines=None):
    return call('account.invoice.set_progress.start', 'on_change_notify', {
            'ratio': ratio,
            'invoice': invoice and invoice.id,
            'section': section and section.id,
            'lines': lines and [l.id for l in lines],
            })


def test_progress_beyond_is_pointed_out(invoice):
    set_current(invoice, .2, .6, .9)
    invoice.click('post')
    draft = next_invoice(invoice, .9, .9, .9, post=False)
    ground, first, second = work(draft)
    for line, name in zip(work(draft), ["First", "Second", "Third"]):
        write(line, description=name)
    sections = [l for l in draft.lines if l.type == 'title']

    (type_, message), = get_notifications(draft, .5)
    assert type_ == 'warning'
    assert message.endswith(": Second, Third.")
    (_, message), = get_notifications(draft, .5, sections[0])
    assert message.endswith(": Second.")
    (_, message), = get_notifications(None, .5, lines=[ground, second])
    assert message.endswith(": Third.")
    assert not get_notifications(draft, .9)
    assert not get_notifications(None, .5, lines=[ground])
    assert not get_notifications(draft, None)

    # A script has nothing to answer
    set_progress(.5, ground, first)
    draft.reload()
    assert currents(draft) == [.5, .6, .9]


def test_no_progress_of_a_line_on_no_invoice(invoice):
    account = next(l.account for l in invoice.lines if l.account)
    line = Model.get('account.invoice.line')(
        invoice_type='out', type='line', description="Sand", quantity=1,
        unit_price=Decimal(1), party=invoice.party, currency=invoice.currency,
        account=account)
    line.save()
    with pytest.raises(ProgressLineError):
        Wizard('account.invoice.set_progress', [line])


def get_view(model, id_, module='project_progress_invoice'):
    view = call('ir.model.data', 'get_id', module, id_)
    return call(model, 'fields_view_get', view, 'tree')


def get_entry_view():
    return get_view('account.invoice.line', 'enter_progress_view_list')


def test_rows_read_nothing_that_is_not_shown():
    view = get_entry_view()
    columns = etree.fromstring(view['arch']).findall('field')
    shown = {c.get('name') for c in columns} | {
        c.get('symbol') for c in columns if c.get('symbol')}
    assert view['fields'].keys() - shown == {'id', 'currency'}


def test_current_is_readonly_on_a_completed_row():
    def get_readonly(**values):
        decoder = PYSONDecoder(values)
        return {
            n for n, f in get_entry_view()['fields'].items()
            if decoder.decode(f['states']).get('readonly')}

    currents = {'progress_current', 'progress_current_quantity'}
    assert get_readonly(progress_completed=True) == currents
    assert not get_readonly(progress_completed=False)


def test_an_added_column_keeps_its_states():
    View = Model.get('ir.ui.view')
    light = get_entry_view()
    added = View(
        model='account.invoice.line', inherit=View(light['view_id']),
        data="""
            <data>
                <xpath expr="/tree/field[@name='amount']" position="after">
                    <field name="note"/>
                </xpath>
            </data>""")
    added.save()
    try:
        fields = get_entry_view()['fields']
        decoder = PYSONDecoder({'type': 'line', 'invoice_state': 'posted'})
        assert 'invoice_state' in fields
        assert decoder.decode(fields['amount']['states'])
    finally:
        added.delete()
    assert get_entry_view() == light


def test_rows_have_the_name_of_their_item(invoice):
    _, line, _ = invoice.click('enter_progress')
    assert line.rec_name == line.progress_name
    # The form of an invoice shows the lines of others that it credits
    name, = call(
        'account.invoice.line', 'read', [line.id], ['rec_name'],
        progress_columns=True)
    assert name['rec_name'].endswith(invoice.rec_name)


@pytest.mark.parametrize('values, shown', [
        ({}, {'product', 'account', 'quantity', 'taxes'}),
        ({'project_billing': True}, {'progress_name', 'quantity', 'taxes'}),
        ({'progress': True},
            {'progress_name', 'progress_total_quantity', 'progress_current'}),
        ])
def test_columns_of_the_lines(values, shown):
    # The second one comes from the cache
    for _ in range(2):
        view = call('account.invoice', 'fields_view_get', None, 'form')
        assert {'progress', 'project_billing'} <= view['fields'].keys()
        context = PYSONDecoder(values).decode(
            view['fields']['lines']['context'])
    view = get_view(
        'account.invoice.line', 'invoice_line_view_tree_sequence',
        module='account_invoice')
    decoder = PYSONDecoder(context)
    columns = {
        f.get('name') for f in etree.fromstring(view['arch']).iter('field')
        if not decoder.decode(f.get('tree_invisible', 'false'))}
    assert columns & {
        'product', 'account', 'quantity', 'taxes', 'progress_name',
        'progress_total_quantity', 'progress_current'} == shown
    assert {'unit_price', 'amount'} <= columns


def test_ratio_of_the_contract():
    invoice = create_invoice((10, '100'), (-1, '200'))
    set_current(invoice, .5, 0)
    # 500.00 of 800.00
    assert invoice.progress_ratio == .625
    assert not create_invoice((1, '10'), progress=False).progress_ratio


def test_tabs_with_counts():
    Window = Model.get('ir.action.act_window')
    for name, tabs in [
            ("Progress Invoices",
                ["Draft", "Validated", "Posted", "All"]),
            ("Contracts", ["To Bill", "In Draft", "Closed", "All"]),
            ("Advance Invoices", ["To Bill", "Residual", "Used Up", "All"]),
            ("Interventions", ["Planned", "Done", "Invoiced", "All"]),
            ]:
        window, *_ = [
            w for w in Window.find([('name', '=', name)])
            if w.act_window_domains]
        assert [d.name for d in window.act_window_domains] == tabs


def test_relates_of_what_a_project_bills():
    project = create_project(create_project_type())
    advance = sell_advance(project)
    request = Model.get('project.intervention.request')(work=project)
    request.save()
    request.click('plan')
    intervention = create_intervention(project, ('service', 1, '500'))
    invoice = value(intervention)
    assert get_related(invoice, "Interventions") == [intervention]
    for record in [invoice, *advance.invoices]:
        assert get_related(record, "Advance Invoices") == [advance]
    for record in [project, project.party]:
        assert request in get_related(record, "Intervention Requests")
        assert intervention in get_related(record, "Interventions")
        assert advance in get_related(record, "Advance Invoices")


@pytest.mark.parametrize('model, id_, buttons', [
        ('project.intervention', 'intervention_view_list',
            {'cancel', 'plan', 'do', 'valorize'}),
        ('project.intervention.request', 'intervention_request_view_list',
            {'cancel', 'open', 'plan', 'close'}),
        ('account.invoice', 'progress_invoice_view_list',
            {'cancel', 'draft', 'validate_invoice', 'post'}),
        ])
def test_buttons_of_the_records_selected_in_a_list(model, id_, buttons):
    arch = etree.fromstring(get_view(model, id_)['arch'])
    assert {b.get('name') for b in arch.iter('button')} == buttons


@pytest.fixture
def project():
    return create_project(create_project_type())


def get_told(wizard):
    "Return what is told of the invoices to who may not read them"
    assert wizard.states == ['end']
    return [
        (i.number, i.party.name, i.state, i.untaxed_amount, i.total_amount)
        for i in wizard.form.invoices]


def test_valorize_tells_the_invoices_that_may_not_be_read(project):
    with user_of("Project Advance Invoice"):
        advance = create_advance(project)
        told = [get_told(advance.click('valorize')) for _ in range(2)]
    advance = Model.get('project.advance_invoice')(advance.id)
    invoice, = advance.invoices
    assert told == [
        [(f'({invoice.id})', "Customer", 'draft', 5000, 5000)]] * 2
    invoice.click('post')
    with user_of("Project Advance Invoice"):
        advance = Model.get('project.advance_invoice')(advance.id)
        told = get_told(advance.click('valorize'))
    assert told == [(invoice.number, "Customer", 'posted', 5000, 5000)]

    with user_of("Project Intervention"):
        intervention = create_intervention(project, ('service', 1, '500'))
        told = get_told(intervention.click('valorize'))
    intervention = Model.get('project.intervention')(intervention.id)
    invoice, = intervention.invoices
    assert told == [(f'({invoice.id})', "Customer", 'draft', 0, 0)]


def test_value_many_tells_the_invoices_that_may_not_be_read(project):
    intervention = create_intervention(project, ('service', 1, '500'))
    with user_of("Project Intervention"):
        wizard = Wizard('project.intervention.value_many')
        wizard.form.works.append(Model.get('project.work')(project.id))
        wizard.execute('value')
        assert not wizard.actions
        told = get_told(wizard)
        assert not wizard.form.waiting
    intervention.reload()
    invoice, = intervention.invoices
    assert told == [(f'({invoice.id})', "Customer", 'draft', 500, 500)]


def test_value_many_tells_what_waits_for_a_worker(project, monkeypatch):
    other = create_project(project.project_type, name="Other")
    for work_ in [project, other]:
        create_intervention(work_, ('service', 1, '500'))
    monkeypatch.setattr(
        'trytond.modules.project_progress_invoice.valorize.LARGE', 1)
    getboolean = config.getboolean
    monkeypatch.setattr(
        config, 'getboolean', lambda section, *args, **kwargs:
        section == 'queue' or getboolean(section, *args, **kwargs))
    with user_of("Project Intervention"):
        wizard = Wizard('project.intervention.value_many')
        for work_ in [project, other]:
            wizard.form.works.append(Model.get('project.work')(work_.id))
        wizard.execute('value')
        assert len(get_told(wizard)) == 1
        assert wizard.form.waiting == 1


def test_value_many_without_anything_to_value(project):
    wizard = Wizard('project.intervention.value_many')
    wizard.form.to_date = dt.date(2000, 1, 31)
    wizard.form.works.append(project)
    with pytest.raises(InterventionError) as info:
        wizard.execute('value')
    for text in ["To Date: 01/31/2000", f"Projects: {project.rec_name}"]:
        assert text in info.value.message
    # The user can change it and go on
    create_intervention(project, ('service', 1, '500'))
    wizard.form.to_date = None
    wizard.execute('value')
    assert len(wizard.actions[0]) == 1


def test_valorize_shows_what_is_open(project):
    advance = sell_advance(project)
    intervention = create_intervention(project, ('service', 1, '500'))
    posted = value(intervention)
    posted.click('post')
    other = create_intervention(project, ('service', 1, '500'))
    wizard = Model.get('project.intervention').click(
        [intervention, other], 'valorize')
    draft, = wizard.form.invoices
    assert draft in other.invoices

    wizard = Wizard('project.advance_invoice.show', [advance])
    assert wizard.form.invoices == [draft]
    wizard.execute('open_')
    assert wizard.actions[0] == [draft]
    draft.click('post')
    wizard = Wizard('project.advance_invoice.show', [advance])
    assert len(wizard.form.invoices) == 3


def test_no_valorize_without_anything_to_bill(project):
    advance = create_advance(project, quantity=0, opening_quantity=1)
    intervention = create_intervention(project)
    for record in [advance, intervention]:
        model = record.__class__.__name__
        view = call(model, 'fields_view_get', None, 'form')
        button, = etree.fromstring(view['arch']).xpath(
            '//button[@name="valorize"]/..')
        values, = call(model, 'read', [record.id], list(view['fields']))

        def is_hidden(**changed):
            return PYSONDecoder({**values, **changed}).decode(
                button.get('states'))['invisible']
        assert is_hidden()
        assert not is_hidden(quantity=1., lines=[1])
        with pytest.raises(UserError):
            record.click('valorize')
