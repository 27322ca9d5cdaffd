# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""Let two users press the same button at once, each from a process"""
from .postgresql import run_script, start_script

TOOLS = """
    from trytond.modules.project_progress_invoice.tests.tools import *

    Invoice = Model.get('account.invoice')
    """
POSTED = TOOLS + """
    invoice = create_invoice((10, '100'))
    set_current(invoice, .5)
    invoice.click('post')
    print(invoice.id)
    """
DRAFT = POSTED + """
    new, = invoice.click('next_progress_invoice')
    set_current(new, .8)
    print(new.id)
    """
SALE = TOOLS + """
    sale = create_sale((10, '100'), state='quotation')
    print(sale.id)
    """
CREDIT = TOOLS + """
    print(credit(Invoice(int(argv[1]))).id)
    """
CLICK = """
    import time

    from trytond.backend import DatabaseOperationalError
    from trytond.exceptions import UserError

    record = Model.get(argv[1])(int(argv[2]))
    print("ready", flush=True)
    input()
    for count in range(30):
        try:
            records = record.click(argv[3])
            print("done", *[r.id for r in records or []])
            break
        except DatabaseOperationalError:
            # The server tries again as well
            time.sleep(.02 * count)
        except UserError as exception:
            print("refused", exception.message)
            break
    """
CONTRACT = TOOLS + """
    invoices = Invoice.find(
        [('progress_contract', '=', int(argv[1]))], order=[('id', 'ASC')])
    for invoice in invoices:
        print(invoice.id, invoice.state, invoice.progress_number,
            invoice.untaxed_amount, sep='|')
    """


def click_together(uri, model, id_, button, *others):
    "Return what each process printed that clicked at the same time"
    clicks = [(model, id_, button), others or (model, id_, button)]
    processes = [start_script(uri, CLICK, *c) for c in clicks]
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.communicate()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = []
    for process in processes:
        output, errors = process.communicate()
        assert not process.returncode, errors
        outputs.append(output.strip())
    return sorted(outputs)


def get_contract(uri, id_):
    output = run_script(uri, CONTRACT, id_)
    return [l.split('|') for l in output.splitlines()]


def test_next_pressed_twice(postgresql_uri):
    id_ = run_script(postgresql_uri, POSTED).strip()

    done, refused = click_together(
        postgresql_uri, 'account.invoice', id_, 'next_progress_invoice')

    assert done.startswith("done ")
    new = done.split()[1]
    assert refused.startswith("refused ") and f'({new})' in refused
    assert [c[0] for c in get_contract(postgresql_uri, id_)] == [id_, new]


def test_draft_posted_twice(postgresql_uri):
    first, draft = run_script(postgresql_uri, DRAFT).split()

    outputs = click_together(
        postgresql_uri, 'account.invoice', draft, 'post')

    # The second finds it posted, what the button refuses or does not see
    assert "done" in outputs[0], outputs
    assert get_contract(postgresql_uri, first) == [
        [first, 'posted', '1', '500.00'], [draft, 'posted', '2', '300.00']]


def test_sale_started_twice(postgresql_uri):
    id_ = run_script(postgresql_uri, SALE).strip()

    outputs = click_together(
        postgresql_uri, 'sale.sale', id_, 'progress_invoice')

    # The second opens the invoice of the first
    assert len(set(outputs)) == 1 and outputs[0].startswith("done "), outputs
    contract = get_contract(postgresql_uri, outputs[0].split()[1])
    assert len(contract) == 1


def test_credited_while_posted(postgresql_uri):
    first, draft = run_script(postgresql_uri, DRAFT).split()
    credit_note = run_script(postgresql_uri, CREDIT, first).strip()

    outputs = click_together(
        postgresql_uri, 'account.invoice', draft, 'post',
        'account.invoice', credit_note, 'post')

    contract = {c[0]: c[1:] for c in get_contract(postgresql_uri, first)}
    assert contract[credit_note] == [
        'posted', contract[credit_note][1], '-500.00']
    # Posted first, it bills the difference; else it bills all to 80 %
    assert contract[draft][2] in {'300.00', '800.00'}, (outputs, contract)
    numbers = [c[1] for c in contract.values() if c[0] == 'posted']
    assert len(set(numbers)) == len(numbers)
