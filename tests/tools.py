# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
from decimal import Decimal

from proteus import Model, Wizard
from trytond.modules.account.tests.tools import (
    create_chart, create_fiscalyear, create_tax, get_accounts)
from trytond.modules.account_invoice.tests.tools import (
    set_fiscalyear_invoice_sequences)
from trytond.modules.company.tests.tools import create_company, get_company
from trytond.tests.tools import activate_modules

__all__ = [
    'activate', 'setup_company', 'get', 'create_sale', 'create_invoice',
    'set_current', 'billed', 'pay', 'credit', 'next_invoice']


def activate(*modules):
    "Activate the modules and set up the company from which stories start"
    return activate_modules(
        ['project_progress_invoice', *modules], setup_company)


def setup_company(config=None):
    "Create a company, its accounts, a tax, two customers and products"
    create_company(config=config)
    company = get_company(config=config)
    company.cancel_invoice_out = True
    company.save()
    create_chart(config=config)
    fiscalyear = set_fiscalyear_invoice_sequences(
        create_fiscalyear(config=config), config=config)
    fiscalyear.click('create_period')
    accounts = get_accounts(config=config)
    tax = create_tax(Decimal('.20'), config=config)
    tax.save()

    Party = Model.get('party.party', config=config)
    for name in ["Customer", "Other Customer"]:
        Party(name=name).save()

    Category = Model.get('product.category', config=config)
    Template = Model.get('product.template', config=config)
    Uom = Model.get('product.uom', config=config)
    unit, = Uom.find([('name', '=', "Unit")])
    for name, taxes in [("Untaxed", []), ("Taxed", [tax])]:
        category = Category(name=name, accounting=True)
        category.account_revenue = accounts['revenue']
        category.account_expense = accounts['expense']
        category.customer_taxes.extend(taxes)
        category.save()
        for type in ['service', 'goods']:
            Template(
                name=f"{name} {type.title()}", type=type, default_uom=unit,
                salable=True, list_price=Decimal(100),
                account_category=category).save()

    PaymentMethod = Model.get('account.invoice.payment.method', config=config)
    Journal = Model.get('account.journal', config=config)
    journal, = Journal.find([('type', '=', 'cash')], limit=1)
    PaymentMethod(
        name="Cash", journal=journal,
        credit_account=accounts['cash'],
        debit_account=accounts['cash']).save()


def get(model, name):
    "Return the record of the model with the name"
    record, = Model.get(model).find([('name', '=', name)])
    return record


def create_sale(
        *lines, method='progress', party="Customer", state='processing'):
    """
    Return a sale in the state with a line for each tuple of quantity, unit
    price and optional name of product
    """
    sale = Model.get('sale.sale')()
    sale.party = get('party.party', party)
    sale.invoice_method = method
    for quantity, price, *product in lines:
        line = sale.lines.new()
        name, = product or ["Untaxed Service"]
        line.product, = Model.get('product.product').find(
            [('template.name', '=', name)])
        line.quantity = quantity
        line.unit_price = Decimal(price)
    sale.save()
    if state != 'draft':
        sale.click('quote')
    if state not in {'draft', 'quotation'}:
        sale.click('confirm')
    return sale


def create_invoice(*lines, party="Customer", progress=True):
    """
    Return a draft invoice with a free line for each tuple of total quantity,
    unit price and optional name of product
    """
    Product = Model.get('product.product')
    invoice = Model.get('account.invoice')(type='out', progress=progress)
    invoice.party = get('party.party', party)
    for quantity, price, *product in lines:
        line = invoice.lines.new()
        if product:
            line.product, = Product.find([('template.name', '=', product[0])])
        else:
            line.account = get_accounts()['revenue']
            line.description = f"{quantity} x {price}"
        line.quantity = quantity
        line.unit_price = Decimal(price)
    invoice.save()
    return invoice


def work(invoice):
    return [l for l in invoice.lines if l.progress_line]


def set_current(invoice, *ratios):
    "Type the progress of each line of the invoice in the order"
    lines = work(invoice)
    assert len(lines) == len(ratios), (len(lines), len(ratios))
    for line, ratio in zip(lines, ratios):
        line.progress_current = ratio
    invoice.save()


def billed(invoice):
    "Return the amount of each line on progress"
    return [l.amount for l in work(invoice)]


def next_invoice(invoice, *ratios, post=True):
    "Return the next invoice of the contract with the progress of each line"
    new, = invoice.click('next_progress_invoice')
    if ratios:
        set_current(new, *ratios)
    if post:
        new.click('post')
    return new


def pay(invoice):
    wizard = invoice.click('pay')
    wizard.form.payment_method = get('account.invoice.payment.method', "Cash")
    wizard.execute('choice')
    assert invoice.state == 'paid', invoice.state


def credit(invoice, refund=False):
    "Return the credit note made by Tryton's wizard"
    wizard = Wizard('account.invoice.credit', [invoice])
    wizard.form.with_refund = refund
    wizard.execute('credit')
    invoice.reload()
    new, = wizard.actions[0]
    return new
