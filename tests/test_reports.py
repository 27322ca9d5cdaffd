# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""Print the documents and read them"""
import datetime as dt
import zipfile
from decimal import Decimal
from io import BytesIO

import pytest
from lxml import etree
from proteus import Model, Report
from trytond.modules.account.tests.tools import get_accounts
from trytond.modules.company.tests.tools import get_company

from .refused import refused
from .tools import (
    create_deposit_account, create_intervention, create_invoice,
    create_project, create_project_type, create_sale, credit, get,
    next_invoice, pay, sell_advance, set_current, user_of, value, work, write)

TEXT = '{urn:oasis:names:tc:opendocument:xmlns:text:1.0}p'
ROW = '{urn:oasis:names:tc:opendocument:xmlns:table:1.0}table-row'


@pytest.fixture(scope='module', autouse=True)
def database_of_reports(database):
    pass


def print_(name, record):
    "Return the paragraphs outside of the tables and the rows of the tables"
    extension, content, _, _ = Report(name).execute([record])
    assert extension == 'odt'
    with zipfile.ZipFile(BytesIO(content)) as file:
        document = etree.fromstring(file.read('content.xml'))

    def read(element):
        return ''.join(element.itertext()).replace('\xa0', ' ').strip()

    rows = [
        [' '.join(map(read, cell.iter(TEXT))) for cell in row]
        for row in document.iter(ROW)]
    paragraphs = [
        read(p) for p in document.iter(TEXT)
        if not any(a.tag == ROW for a in p.iterancestors())]
    return (
        [p for p in paragraphs if p],
        [[c for c in row if c] for row in rows if any(row)])


def create_contract():
    "Return a sale of two sections whose first document is paid"
    sale = create_sale(
        (20, '100'), (1, '2500', "Taxed Service"), state='draft')
    for sequence, (title, line) in enumerate(
            zip(["Ground floor", "First floor"], list(sale.lines))):
        sale.lines.new(
            type='title', description=title, sequence=sequence * 2)
        line.sequence = sequence * 2 + 1
    sale.description = "New office"
    sale.click('quote')
    invoice, = sale.click('progress_invoice')
    set_current(invoice, .1, .2)
    invoice.click('post')
    pay(invoice)
    return invoice


def get_lines(invoice):
    "Return the texts of each line of the printed invoice"
    _, rows = print_('account.invoice', invoice)
    end = next(
        n for n, row in enumerate(rows) if row[0].startswith("Tax Base"))
    return rows[1:end]


@pytest.fixture
def progress_not_printed():
    configuration = Model.get('account.configuration')(1)
    configuration.progress_printed = False
    configuration.save()
    yield
    configuration.progress_printed = True
    configuration.save()


@pytest.mark.usefixtures('progress_not_printed')
def test_invoice_has_the_quantities_that_it_bills():
    invoice = create_invoice((1, '2500'), (120, '10'), (-4, '100'))
    lump_sum, area, deduction = invoice.lines
    for line, unit in [
            (lump_sum, "Unit"), (area, "Square meter"), (deduction, "Unit")]:
        line.unit = get('product.uom', unit)
    invoice.save()
    set_current(invoice, .5, .3333, .4)

    assert get_lines(invoice) == [
        ["1 x 2500", "0.5 u", "$2,500.0000", "$1,250.00"],
        ["120 x 10", "39.996 m²", "$10.0000", "$399.96"],
        ["-4 x 100", "-1.6 u", "$100.0000", "-$160.00"],
        ]

    invoice.click('post')
    second = next_invoice(invoice, .8333, .6, .4)
    assert get_lines(second) == [
        ["1 x 2500", "0.3333 u", "$2,500.0000", "$833.25"],
        ["120 x 10", "32.004 m²", "$10.0000", "$320.04"],
        ]
    assert get_lines(credit(second)) == [
        ["1 x 2500", "-0.3333 u", "$2,500.0000", "-$833.25"],
        ["120 x 10", "-32.004 m²", "$10.0000", "-$320.04"],
        ]


@pytest.mark.usefixtures('progress_not_printed')
def test_invoice_of_a_part_without_end():
    invoice = create_invoice((3, '333.33'))
    invoice.lines[0].unit = get('product.uom', "Unit")
    invoice.save()
    line, = invoice.lines
    write(line, progress_current_quantity=1 / 3)

    assert get_lines(invoice) == [
        ["3 x 333.33", "0.33333 u", "$333.3300", "$111.11"]]


@pytest.mark.usefixtures('progress_not_printed')
def test_name_of_a_line_has_the_quantity_that_it_bills():
    invoice = create_invoice((1, '2500', "Untaxed Service"))
    set_current(invoice, .5)

    assert invoice.lines[0].rec_name == (
        f"0.5\xa0u Untaxed Service @ {invoice.rec_name}")


def test_ordinary_invoice_is_printed_as_by_tryton(monkeypatch):
    from trytond.modules.project_progress_invoice.report import InvoiceReport
    invoice = create_invoice((0, '100', "Untaxed Service"), progress=False)
    line = invoice.lines.new(description="Area", quantity=2.5)
    line.account = get_accounts()['revenue']
    line.unit = get('product.uom', "Square meter")
    line.unit_price = Decimal(10)
    invoice.save()

    _, content, _, _ = Report('account.invoice').execute([invoice])
    monkeypatch.delattr(InvoiceReport, 'get_context')
    _, plain, _, _ = Report('account.invoice').execute([invoice])

    with zipfile.ZipFile(BytesIO(content)) as ours, \
            zipfile.ZipFile(BytesIO(plain)) as theirs:
        assert ours.read('content.xml') == theirs.read('content.xml')


def test_invoice_tells_how_far_the_work_is():
    first = create_contract()
    second = next_invoice(first, .6, .3333)

    assert get_lines(second) == [
        ["Ground floor"],
        ["Untaxed Service 60 %, before 10 %", "10 u", "$100.0000",
            "$1,000.00"],
        ["First floor"],
        ["Taxed Service 33.33 %, before 20 %", "0.1333 u", "$2,500.0000",
            "[1]", "$333.25"],
        ]


def test_invoice_leaves_out_what_bills_nothing():
    types = [
        ('comment', "Preface"),
        ('title', "House"),
        ('title', "Ground floor"),
        ('line', "Floor"),
        ('line', "Ceiling"),
        ('title', "First floor"),
        ('comment', "Painted in white"),
        ('line', "Painting"),
        ('subtotal', "Total of the house"),
        ('title', "Garage"),
        ('title', "Walls"),
        ('line', "Bricks"),
        ('subtotal', "Total of the walls"),
        ('title', "Roof"),
        ('line', "Tiles"),
        ('title', "Garden"),
        ('title', "Lawn"),
        ('line', "Grass"),
        ('title', "Conditions"),
        ('comment', "Keep off the grass"),
        ]
    invoice = create_invoice()
    for sequence, (type_, description) in enumerate(types, 1):
        line = invoice.lines.new(
            type=type_, description=description, sequence=sequence)
        if type_ == 'line':
            line.account = get_accounts()['revenue']
            line.quantity = 10
            line.unit_price = Decimal(100)
    invoice.save()
    set_current(invoice, .5, 0, 0, 0, 0, .1)

    assert get_lines(invoice) == [
        ["Preface"],
        ["House"],
        ["Ground floor"],
        ["Floor 50 %, before 0 %", "5.0", "$100.0000", "$500.00"],
        ["Total of the house", "$500.00"],
        ["Garden"],
        ["Lawn"],
        ["Grass 10 %, before 0 %", "1.0", "$100.0000", "$100.00"],
        ["Conditions"],
        ["Keep off the grass"],
        ]


def test_valued_invoice_has_the_numbers_of_its_interventions():
    project = create_project(create_project_type(create_deposit_account()))
    day = get('product.uom', "Day")
    whole_day = Model.get('product.uom')(
        name="Whole Day", symbol="wd", category=day.category,
        rate=day.rate, factor=day.factor, rounding=1, digits=0)
    whole_day.save()
    sell_advance(project, unit=whole_day)
    interventions = [
        create_intervention(
            project, ('service', 8, '100'), ('material', 1, '10'),
            description="Broken door"),
        create_intervention(project, ('material', 3, '10'))]
    Intervention = Model.get('project.intervention')
    wizard = Intervention.click(interventions, 'valorize')
    invoice, = wizard.form.invoices
    invoice = Model.get('account.invoice')(invoice.id)
    numbers = ', '.join(v.number for v in interventions)

    with user_of("Accounting"):
        record = Model.get('account.invoice')(invoice.id)
        assert record.origins == numbers
        paragraphs, rows = print_('account.invoice', record)

    assert f"Reference: {numbers}" in paragraphs
    assert any("-1.6 wd" in row for row in rows), rows

    invoice.click('post')
    assert credit(invoice).origins == invoice.rec_name


def test_reference_of_an_advance_and_a_progress_invoice():
    project = create_project(create_project_type(create_deposit_account()))
    advance = sell_advance(project)
    billed, = advance.invoices
    paragraphs, _ = print_('account.invoice', billed)
    assert f"Reference: {advance.rec_name}" in paragraphs

    first = create_contract()
    sale, = first.sales
    paragraphs, _ = print_('account.invoice', first)
    assert f"Reference: {sale.rec_name}" in paragraphs


def test_progress_statement():
    first = create_contract()
    second = next_invoice(first, .6, .3333)

    paragraphs, rows = print_('account.invoice.progress_statement', second)

    assert "Progress Statement No. 2" in paragraphs
    assert "New office" in paragraphs
    for row in [
            ["Ground floor"],
            ["Untaxed Service", "$100.0000", "20 u", "2 u", "12 u",
                "60.00 %", "$1,000.00"],
            ["Subtotal", "$1,000.00"],
            ["First floor"],
            ["Taxed Service", "$2,500.0000", "1 u", "0.2 u", "0.3333 u",
                "33.33 %", "$333.25"],
            ["Subtotal", "$333.25"],
            ["Untaxed", "$1,333.25"],
            ["Total", "$1,399.90"],
            ["Contract", "$4,500.00"],
            ["Billed before", "$700.00"],
            ["Billed to date", "$2,033.25"],
            ["Remaining to bill", "$2,466.75"],
            ]:
        assert row in rows, (row, rows)
    documents = [
        [r[0], *r[2:]] for r in rows
        if r[0] in {first.rec_name, second.rec_name}]
    assert documents == [
        [first.rec_name, "$700.00", "$100.00", "$800.00", "$800.00",
            "$0.00"],
        [second.rec_name, "$1,333.25", "$66.65", "$1,399.90", "$0.00",
            "$1,399.90"],
        ]
    assert not any("Still to be paid" in p for p in paragraphs)


def test_statements_of_a_closing_invoice():
    first = create_contract()
    closing, = first.click('closing_progress_invoice')
    closing.click('post')

    paragraphs, _ = print_('account.invoice.progress_statement', closing)
    assert "Closing Invoice" in paragraphs
    assert "Still to be paid: $4,200.00" in paragraphs

    paragraphs, rows = print_('account.invoice.cumulative_statement', closing)
    assert "Cumulative Statement No. 2" in paragraphs
    for row in [
            ["Untaxed Service", "$100.0000", "20 u", "20 u", "100.00 %",
                "$2,000.00"],
            ["Work to date, untaxed", "$4,500.00"],
            [f"Less {first.rec_name}", "-$700.00"],
            ["Untaxed", "$3,800.00"],
            ["Total", "$4,200.00"],
            ]:
        assert row in rows, (row, rows)


def test_statements_of_what_is_not_work():
    first = create_contract()
    second = next_invoice(first, .6, .2, post=False)
    second.lines.new(
        account=create_deposit_account(), description="Deposit", quantity=-1,
        unit_price=Decimal(150))
    second.save()

    _, rows = print_('account.invoice.progress_statement', second)
    assert rows.index(["Other lines", "-$150.00"]) < rows.index(
        ["Untaxed", "$850.00"])
    assert not any("Deposit" in row for row in rows)
    _, rows = print_('account.invoice.cumulative_statement', second)
    for row in [
            ["Work to date, untaxed", "$1,700.00"],
            [f"Less {first.rec_name}", "-$700.00"],
            ["Other lines", "-$150.00"],
            ["Untaxed", "$850.00"],
            ]:
        assert row in rows, (row, rows)
    assert not any("Deposit" in row for row in rows)


def test_cumulative_statement_without_an_item_of_the_contract():
    first = create_contract()
    second = next_invoice(first, .6, .2, post=False)
    _, line = work(second)
    line.delete()
    second.reload()

    _, rows = print_('account.invoice.cumulative_statement', second)

    assert not any(r[0] == "Taxed Service" for r in rows)
    position = rows.index(["Work not on this document", "$500.00"])
    assert rows[position + 1] == ["Work to date, untaxed", "$1,700.00"]


def test_statement_of_200_lines():
    sale = create_sale((1, '10'), state='draft')
    # Each line that is typed sends all the others
    line, = sale.lines
    line._proxy.copy(
        [line.id] * 199, {'sale': sale.id}, line._context)
    sale.reload()
    sale.click('quote')
    invoice, = sale.click('progress_invoice')
    wizard = invoice.click('set_progress')
    wizard.form.ratio = .5
    wizard.execute('set_')

    _, rows = print_('account.invoice.progress_statement', invoice)

    assert sum(r[0] == "Untaxed Service" for r in rows) == 200
    assert ["Total", "$1,000.00"] in rows


@pytest.mark.parametrize('name', [
        'account.invoice.progress_statement',
        'account.invoice.cumulative_statement'])
def test_statement_of_an_ordinary_invoice(name):
    invoice = create_invoice((1, '100'), progress=False)
    with refused(invoice):
        Report(name).execute([invoice])


def test_advance_statement():
    project = create_project(create_project_type(
            create_deposit_account(), propose_service=True))
    advance = sell_advance(project)
    sell_advance(project, 5, '400')
    intervention = create_intervention(project, ('service', 8, '100'))
    invoice = value(intervention)

    _, rows = print_('project.work.advance_statement', project)

    billed, = advance.invoices
    assert [r[-2:] for r in rows if billed.rec_name in r] == [
        ["10 d", "$5,000.00"]]
    assert [r[-2:] for r in rows if invoice.rec_name in r] == [
        ["-1.6 d", "-$800.00"]]
    assert ["Left", "8.4 d", "$4,200.00"] in rows
    assert ["Left", "5 d", "$2,000.00"] in rows
    assert ["Left of the advances, untaxed", "$6,200.00"] in rows


def test_advance_statement_by_who_has_no_access_to_the_accounting():
    project = create_project(create_project_type(create_deposit_account()))
    sell_advance(project)
    for group in ["Project Intervention", "Project Administration"]:
        with user_of(group):
            record = Model.get('project.work')(project.id)
            _, rows = print_('project.work.advance_statement', record)
        assert ["Left", "10 d", "$5,000.00"] in rows


def test_intervention_report_in_the_time_of_the_company():
    company = get_company()
    company.timezone = 'Europe/Paris'
    company.save()
    project = create_project()
    intervention = create_intervention(
        project, ('service', 1.5, '100'),
        start=dt.datetime(2026, 7, 1, 7), end=dt.datetime(2026, 7, 1, 9, 30))

    paragraphs, _ = print_('project.intervention.report', intervention)

    assert [p[-8:] for p in paragraphs if p.startswith(("Start", "End"))] == [
        "09:00:00", "11:30:00"]


def test_intervention_report():
    project = create_project()
    intervention = create_intervention(
        project, ('service', 1.5, '100'), ('material', 3, '10'),
        description="Broken door\nand its lock")

    paragraphs, rows = print_('project.intervention.report', intervention)

    assert f"Intervention Report {intervention.number}" in paragraphs
    assert {"Broken door", "and its lock"} <= set(paragraphs)
    assert ["Material", "Material", "3"] in rows
    assert any("For the customer" in c for row in rows for c in row)


def test_reports_are_in_the_language_of_the_party():
    Lang = Model.get('ir.lang')
    french, = Lang.find([('code', '=', 'fr')])
    french.click('load_translations')
    project = create_project(create_project_type(create_deposit_account()))
    project.party.lang = french
    project.party.save()
    intervention = create_intervention(project, ('service', 1.5, '100'))

    paragraphs, rows = print_('project.intervention.report', intervention)

    assert any(p.startswith("Rapport d") for p in paragraphs), paragraphs
    assert any("1,5" in c for row in rows for c in row)

    day, = Model.get('product.uom').find([('name', '=', "Day")])
    with day._config.set_context(language='fr'):
        translated = day.__class__(day.id)
        translated.symbol = 'j'
        translated.save()
    sell_advance(project)
    _, rows = print_('project.work.advance_statement', project)
    assert any("10 j" in row for row in rows), rows

    invoice = create_invoice((1, '100', "Untaxed Service"))
    set_current(invoice, .3333)
    _, rows = print_('account.invoice', invoice)
    assert rows[1][:2] == [
        "Untaxed Service 33,33 %, précédemment 0 %", "0,3333 u"]
