#!/usr/bin/env python3
# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"Bill a contract by its progress and a project in advance"
import os
import secrets
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

# trytond reads its configuration when it is imported
for name in [n for n in os.environ if n.startswith('TRYTOND_')]:
    del os.environ[name]
os.environ['TRYTOND_DATABASE_URI'] = 'sqlite://'
os.environ['DB_NAME'] = 'demo'

from proteus import Model  # noqa: E402
from proteus.config import set_trytond  # noqa: E402
from trytond.exceptions import UserError, UserWarning  # noqa: E402
from trytond.modules.account.tests.tools import (  # noqa: E402
    create_chart, create_fiscalyear, create_tax, get_accounts)
from trytond.modules.account_invoice.tests.tools import (  # noqa: E402
    create_payment_term, set_fiscalyear_invoice_sequences)
from trytond.modules.company.tests.tools import create_company  # noqa: E402

CONFIG = """\
[database]
uri = sqlite://
path = {folder}
"""


class DemoError(Exception):
    pass


def create_database(folder):
    "Activate the module in a new database and connect to it"
    folder.mkdir(exist_ok=True)
    config, password, database = [
        folder / name for name in ['trytond.conf', 'password', 'demo.sqlite']]
    for path in folder.glob('demo.sqlite*'):
        path.unlink()
    database.touch()
    config.write_text(CONFIG.format(folder=folder))
    password.touch(mode=0o600)
    password.write_text(secrets.token_urlsafe(12))

    activation = subprocess.run([
            sys.executable, '-m', 'trytond.cli.admin', '-c', str(config),
            '-d', 'demo', '--email', 'admin@example.com',
            '-u', 'project_progress_invoice', '--activate-dependencies'],
        env={**os.environ, 'TRYTONPASSFILE': str(password)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if activation.returncode:
        raise DemoError(
            f"The module can not be activated:\n{activation.stderr}")

    set_trytond(config_file=str(config))


def setup_company():
    "Create the company, its accounting and return a tax"
    create_company()
    create_chart()
    fiscalyear = set_fiscalyear_invoice_sequences(create_fiscalyear())
    fiscalyear.click('create_period')
    tax = create_tax(Decimal('.20'))
    tax.save()
    return tax


def create_payment_method():
    Journal = Model.get('account.journal')
    PaymentMethod = Model.get('account.invoice.payment.method')
    cash, = Journal.find([('type', '=', 'cash')], limit=1)
    account = get_accounts()['cash']
    payment_method = PaymentMethod(
        name="Cash", journal=cash,
        credit_account=account, debit_account=account)
    payment_method.save()
    return payment_method


def create_products(tax):
    "Return the products of the quotation"
    Category = Model.get('product.category')
    Template = Model.get('product.template')
    Uom = Model.get('product.uom')
    accounts = get_accounts()
    category = Category(
        name="Building", accounting=True,
        account_revenue=accounts['revenue'],
        account_expense=accounts['expense'])
    category.customer_taxes.append(tax)
    category.save()
    for name, unit, price in [
            ("Door, fitted", "Unit", '100.00'),
            ("Painting", "Square meter", '12.50'),
            ("Site management", "Unit", '2500.00')]:
        unit, = Uom.find([('name', '=', unit)])
        template = Template(
            name=name, default_uom=unit, type='service', salable=True,
            list_price=Decimal(price), account_category=category)
        template.save()
        yield template.products[0]


def create_party(name):
    party = Model.get('party.party')(name=name)
    party.save()
    return party


def quote(party, description, payment_term, products, quantities):
    "Return a quotation that is billed on progress"
    Sale = Model.get('sale.sale')
    sale = Sale(
        party=party, description=description, payment_term=payment_term,
        invoice_method='progress', shipment_method='manual')
    for product, quantity in zip(products, quantities):
        line = sale.lines.new()
        line.product = product
        line.quantity = quantity
    sale.click('quote')
    return sale


def set_ratio(invoice, ratio):
    set_progress = invoice.click('set_progress')
    set_progress.form.ratio = ratio
    set_progress.execute('set_')


def bill(invoice, ratio=None):
    "Post the invoice, at the percent if there is one, and print it"
    if ratio is not None:
        set_ratio(invoice, ratio)
    invoice.click('post')
    print_invoice(invoice)


def pay(invoice, payment_method):
    wizard = invoice.click('pay')
    wizard.form.payment_method = payment_method
    wizard.execute('choice')


def print_invoice(invoice):
    title = f"Invoice {invoice.number}, number {invoice.progress_number}"
    if invoice.progress_closing:
        title += ", closing the contract"
    row = "{:<20}{:>10}{:>10}{:>10}{:>8}{:>14}"
    header = row.format(
        "Description", "Total", "Previous", "Current", "%", "Billed")
    print(f"\n{title}\n{'=' * len(header)}\n{header}\n{'-' * len(header)}")
    for line in invoice.lines:
        if line.type != 'line':
            continue
        print(row.format(
                line.product.name,
                f'{line.progress_total_quantity:,.2f}',
                f'{line.progress_previous_quantity:,.2f}',
                f'{line.progress_current_quantity:,.2f}',
                f'{line.progress_current:.2%}',
                f'{line.amount:,.2f}'))
    print('-' * len(header))
    amounts = [
        ("Untaxed", invoice.untaxed_amount),
        ("Tax", invoice.tax_amount),
        ("Total", invoice.total_amount),
        ("Contract, untaxed", invoice.progress_total_amount),
        ("Billed before", invoice.progress_previous_amount),
        ("Billed with this one", invoice.progress_current_amount),
        ("Left", invoice.progress_remaining_amount),
        ]
    if invoice.progress_closing:
        amounts += [
            ("Paid, with tax", invoice.progress_paid_amount),
            ("Still to pay", invoice.progress_amount_to_pay),
            ]
    for label, amount in amounts:
        print(f'{label:>{len(header) - 14}}{amount:>14,.2f}')


def create_project_type():
    "Return a type whose projects bill advances on a deposit account"
    Account = Model.get('account.account')
    AccountType = Model.get('account.account.type')
    Journal = Model.get('account.journal')
    ProjectType = Model.get('project.type')
    payable = get_accounts()['payable']
    # The deposit account of the English chart is off-balance
    account_type = AccountType(
        name="Customer Advances", company=payable.company,
        statement='balance', parent=payable.type.parent, deposit=True)
    account_type.save()
    account = Account(
        name="Customer Advances", company=payable.company,
        type=account_type, party_required=True)
    account.save()
    journal, = Journal.find([('type', '=', 'revenue')], limit=1)
    project_type = ProjectType(
        name="Maintenance", invoice_journal=journal, advance_account=account,
        propose_service=True, propose_material=True)
    project_type.save()
    return project_type


def create_project(party, name, project_type):
    Work = Model.get('project.work')
    project = Work(
        name=name, type='project', party=party, project_type=project_type)
    project.save()
    return project


def create_advance(project, tax):
    "Return 10 days at 500.00 to bill in advance"
    Advance = Model.get('project.advance_invoice')
    Tax = Model.get('account.tax')
    advance = Advance(
        work=project, line_type='uncoded', description="Maintenance days",
        quantity=10, unit_price=Decimal('500.00'))
    advance.taxes.append(Tax(tax.id))
    advance.save()
    return advance


def bill_advance(advance):
    "Post the invoice of the advance and return it"
    invoice = value(advance)
    invoice.click('post')
    advance.reload()
    return invoice


def print_advance(advance, invoice):
    print(f"\nAdvance invoice {invoice.number}: {advance.quantity:g} days, "
        f"{invoice.untaxed_amount:,.2f} untaxed, "
        f"{invoice.total_amount:,.2f} in total")


def do_intervention(project, tax):
    "Return an intervention of 1 day and 3 parts that is done"
    Intervention = Model.get('project.intervention')
    Tax = Model.get('account.tax')
    intervention = Intervention(work=project, description="Broken door")
    for kind, description, quantity, price in [
            ('service', "Repair", 1, '500.00'),
            ('material', "Hinge", 3, '100.00')]:
        line = intervention.lines.new(
            kind=kind, description=description, quantity=quantity,
            unit_price=Decimal(price))
        line.taxes.append(Tax(tax.id))
    intervention.click('do')
    return intervention


def value(record):
    "Return the invoice that Valorize makes"
    wizard = record.click('valorize')
    invoice, = wizard.form.invoices
    wizard.execute('end')
    return Model.get('account.invoice')(invoice.id)


def print_valued(invoice):
    "Post the invoice and print what it bills and cancels"
    invoice.click('post')
    row = "{:<52}{:>10}{:>10}{:>14}"
    header = row.format("Description", "Quantity", "Price", "Amount")
    print(f"\nInvoice {invoice.number} of the intervention\n"
        f"{'=' * len(header)}\n{header}\n{'-' * len(header)}")
    for line in invoice.lines:
        if line.type == 'title':
            print(line.description)
        else:
            print(row.format(
                    line.description[:51], f'{line.quantity:g}',
                    f'{line.unit_price:,.2f}', f'{line.amount:,.2f}'))
    print('-' * len(header))
    for label, amount in [
            ("Untaxed", invoice.untaxed_amount),
            ("Tax", invoice.tax_amount),
            ("Total", invoice.total_amount)]:
        print(f'{label:>{len(header) - 14}}{amount:>14,.2f}')


def leave_drafts(party, payment_term, products, project_type, tax):
    "Leave something of each job to go on with and print it"
    sale = quote(party, "New shop", payment_term, products, [4, 60, 1])
    first, = sale.click('progress_invoice')
    sale.click('confirm')
    set_ratio(first, 0.30)
    first.click('post')
    draft, = first.click('next_progress_invoice')

    project = create_project(party, "Maintenance of the shop", project_type)
    bill_advance(create_advance(project, tax))
    value(do_intervention(project, tax))
    intervention = do_intervention(project, tax)
    create_advance(project, tax)
    print(f"""
Left to go on with, for the customer {party.rec_name}:
  progress invoice number {draft.progress_number} of {sale.description}, draft
  the invoice of a valued intervention, draft
  intervention {intervention.number}, done, to valorize
  a second advance, to valorize
""")


def main(folder):
    folder = Path(folder).resolve()
    print("Creating the database, this takes a minute", flush=True)
    create_database(folder)
    tax = setup_company()
    payment_method = create_payment_method()

    payment_term = create_payment_term()
    payment_term.save()
    products = list(create_products(tax))
    sale = quote(
        create_party("Customer"), "New office", payment_term, products,
        [20, 120, 1])
    print(f"Quotation {sale.number}: {sale.untaxed_amount:,.2f} untaxed, "
        f"{sale.total_amount:,.2f} in total")

    first, = sale.click('progress_invoice')
    sale.click('confirm')
    bill(first, 0.10)
    pay(first, payment_method)

    second, = first.click('next_progress_invoice')
    bill(second, 0.60)
    pay(second, payment_method)

    closing, = second.click('closing_progress_invoice')
    bill(closing)
    pay(closing, payment_method)

    sale.reload()
    print(f"\nOnce the closing invoice is paid, the sale is {sale.state}.")

    project_type = create_project_type()
    project = create_project(
        sale.party, "Maintenance of the office", project_type)
    advance = create_advance(project, tax)
    print_advance(advance, bill_advance(advance))
    intervention = do_intervention(project, tax)
    print_valued(value(intervention))
    advance.reload()
    print(f"\nLeft of the advance: {advance.residual_quantity} days, "
        f"{advance.residual_amount:,.2f}")
    leave_drafts(
        create_party("Bakery"), payment_term, products, project_type, tax)
    print(f"The database is kept in {folder / 'demo.sqlite'}")


if __name__ == '__main__':
    try:
        main(sys.argv[1])
    except (DemoError, UserError, UserWarning) as error:
        sys.exit(f"The demo stopped: {error}")
