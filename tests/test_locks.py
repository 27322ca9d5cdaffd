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
    return run_together(
        uri, CLICK, (model, id_, button), others or (model, id_, button))


def run_together(uri, script, *arguments, second=None):
    """
    Return what each process printed that ran the script at the same time

    The second process may have its own script.
    """
    scripts = [script, second or script]
    processes = [
        start_script(uri, s, *a) for s, a in zip(scripts, arguments)]
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


ADVANCE = TOOLS + """
    account = create_deposit_account()
    project = create_project(create_project_type(account))
    advance = sell_advance(project, 1, '500')
    interventions = [
        create_intervention(project, ('service', 1, '400')) for _ in range(2)]
    print(advance.id, account.id, *[i.id for i in interventions])
    """
CREDIT_HALF = TOOLS + """
    advance = Model.get('project.advance_invoice')(int(argv[1]))
    credit_note = credit(advance.invoices[0])
    write(credit_note.lines[0], quantity=-.5)
    print(credit_note.id)
    """
RESIDUAL = TOOLS + """
    advance = Model.get('project.advance_invoice')(int(argv[1]))
    print(advance.residual_amount, *sorted(
            -l.amount for l in advance.cancellation_lines))
    """
VALUE = CLICK.replace("argv[3]", "'valorize'").replace(
    "records or []", "records.form.invoices")


def test_two_interventions_valued_on_what_pays_for_one(postgresql_uri):
    advance, _, first, second = run_script(postgresql_uri, ADVANCE).split()

    outputs = run_together(
        postgresql_uri, VALUE,
        ('project.intervention', first), ('project.intervention', second))

    # The second is covered by what the first left
    assert all(o.startswith("done ") for o in outputs), outputs
    assert len(set(outputs)) == 2
    assert run_script(postgresql_uri, RESIDUAL, advance).split() == [
        '0.00', '100.00', '400.00']


def test_intervention_valued_twice(postgresql_uri):
    advance, _, intervention, _ = run_script(postgresql_uri, ADVANCE).split()

    outputs = run_together(
        postgresql_uri, VALUE,
        ('project.intervention', intervention),
        ('project.intervention', intervention))

    # The second shows the invoice of the first
    assert len(set(outputs)) == 1 and outputs[0].startswith("done "), outputs
    assert run_script(postgresql_uri, RESIDUAL, advance).split() == [
        '100.00', '400.00']


def test_advance_credited_while_it_is_used(postgresql_uri):
    advance, _, intervention, _ = run_script(postgresql_uri, ADVANCE).split()
    credit_note = run_script(
        postgresql_uri, CREDIT_HALF, advance).strip()

    outputs = run_together(
        postgresql_uri, VALUE, ('project.intervention', intervention),
        ('account.invoice', credit_note), second=CLICK.replace(
            "argv[3]", "'post'"))

    # What the credit note is about to credit is not used
    assert [o.split()[0] for o in outputs] == ["done", "done"], outputs
    assert run_script(postgresql_uri, RESIDUAL, advance).split() == [
        '0.00', '250.00']
