# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""Let users press buttons at the same time, each from a process"""
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from http.client import SERVICE_UNAVAILABLE
from threading import Barrier
from xmlrpc.client import Fault, ProtocolError

from proteus.config import set_xmlrpc_session

from .postgresql import (
    PASSWORD, run_script, set_password, start_script, start_trytond)

# What Tryton's clients wait before they press again on a busy server
CLIENT_DELAYS = [1, 2, 3, 4, 5]
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
EIGHT_DRAFTS = TOOLS + """
    for _ in range(8):
        invoice = create_invoice((10, '100'))
        set_current(invoice, .5)
        print(invoice.id)
    """
SALE = TOOLS + """
    sale = create_sale((10, '100'), state='quotation')
    print(sale.id)
    """
CREDIT = TOOLS + """
    print(credit(Invoice(int(argv[1]))).id)
    """
PRESS = TOOLS + """
    import time

    from trytond.backend import DatabaseOperationalError
    from trytond.exceptions import UserError

    def press(button):
        "Press the button at the same time as the others until it answers"
        print("ready", flush=True)
        input()
        for count in range(50):
            try:
                result = button()
                break
            except DatabaseOperationalError:
                # The server tries again as well
                time.sleep(.02 * count)
            except UserError as exception:
                print("refused", exception.message)
                return
        if isinstance(result, Wizard):
            result = result.form.invoices
        print("done", *[r.id for r in result or []])
    """
CLICK = PRESS + """
    record = Model.get(argv[1])(int(argv[2]))
    press(lambda: record.click(argv[3]))
    """
EDIT = PRESS + """
    invoice = Invoice(int(argv[1]))
    press(lambda: write(invoice.lines[0], progress_current=float(argv[2])))
    """
CREDIT_WIZARD = PRESS + """
    invoice = Invoice(int(argv[1]))
    press(lambda: [credit(invoice)])
    """
ADVANCE = TOOLS + """
    account = create_deposit_account()
    project = create_project(create_project_type(account))
    advance = sell_advance(project, 1, '500')
    interventions = [
        create_intervention(project, ('service', 1, argv[1]))
        for _ in range(int(argv[2]))]
    print(advance.id, account.id, *[i.id for i in interventions])
    """
TWO_ADVANCES = TOOLS + """
    project = create_project(create_project_type(create_deposit_account()))
    advances = [sell_advance(project, 1, '250') for _ in range(2)]
    interventions = [
        create_intervention(project, ('service', 1, '110')) for _ in range(6)]
    print(*[a.id for a in advances])
    print(*[i.id for i in interventions])
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
CONTRACT = TOOLS + """
    invoices = Invoice.find(
        [('progress_contract.invoices', '=', int(argv[1]))],
        order=[('id', 'ASC')])
    for invoice in invoices:
        print(invoice.id, invoice.state, invoice.progress_number,
            invoice.untaxed_amount, sep='|')
    """


def run_together(uri, *scripts):
    """
    Return what each process printed that ran its script at the same time

    Each script is a tuple with its arguments.
    """
    processes = [start_script(uri, *s) for s in scripts]
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


def click_together(uri, *clicks):
    """
    Return what each process printed that clicked at the same time

    Each click is a tuple of model, id and button.
    """
    return run_together(uri, *((CLICK, *c) for c in clicks))


def get_contract(uri, id_):
    output = run_script(uri, CONTRACT, id_)
    return [line.split('|') for line in output.splitlines()]


def sell(uri, price, number):
    """
    Return the ids of an advance of 500.00, of its account and of the number
    of interventions of the price
    """
    return run_script(uri, ADVANCE, price, number).split()


def test_next_pressed_by_eight(postgresql_uri):
    id_ = run_script(postgresql_uri, POSTED).strip()

    done, *refused = click_together(
        postgresql_uri,
        *[('account.invoice', id_, 'next_progress_invoice')] * 8)

    assert done.startswith("done "), done
    new = done.split()[1]
    assert len(refused) == 7
    for message in refused:
        assert message.startswith("refused ") and f'({new})' in message
    assert [c[0] for c in get_contract(postgresql_uri, id_)] == [id_, new]


# The statement which locks sets what the transaction sees before it waits
LATE = PRESS + """
    from trytond.backend.postgresql.database import Database

    lock_records = Database.lock_records

    def lock_late(self, connection, table, ids):
        Database.lock_records = lock_records
        connection.cursor().execute("SELECT 1")
        print("sees", flush=True)
        input()
        lock_records(connection, table, ids)

    record = Model.get(argv[1])(int(argv[2]))
    Database.lock_records = lock_late
    press(lambda: record.click(argv[3]))
    """


def click_late(uri, late, click):
    """
    Return what is printed by the process that clicked late, between what it
    sees and what it locks being the other click
    """
    process = start_script(uri, LATE, *late)
    assert process.stdout.readline() == "ready\n", process.communicate()
    process.stdin.write("go\n")
    process.stdin.flush()
    assert process.stdout.readline() == "sees\n", process.communicate()
    done, = click_together(uri, click)
    assert done.startswith("done "), done
    output, errors = process.communicate("go\n")
    assert not process.returncode, errors
    return output.strip(), done.split()[1]


def test_next_pressed_between_view_and_lock(postgresql_uri):
    id_ = run_script(postgresql_uri, POSTED).strip()
    click = ('account.invoice', id_, 'next_progress_invoice')

    late, new = click_late(postgresql_uri, click, click)

    assert late.startswith("refused ") and f'({new})' in late
    assert [c[0] for c in get_contract(postgresql_uri, id_)] == [id_, new]


def test_valued_between_view_and_lock(postgresql_uri):
    advance, _, first, second = sell(postgresql_uri, '400', 2)

    late, _ = click_late(
        postgresql_uri, ('project.intervention', first, 'valorize'),
        ('project.intervention', second, 'valorize'))

    # It is covered by what the other left
    assert late.startswith("done ")
    assert run_script(postgresql_uri, RESIDUAL, advance).split() == [
        '0.00', '100.00', '400.00']


def test_draft_posted_by_eight(postgresql_uri):
    first, draft = run_script(postgresql_uri, DRAFT).split()

    outputs = click_together(
        postgresql_uri, *[('account.invoice', draft, 'post')] * 8)

    # The others find it posted, what the button refuses or does not see
    assert "done" in outputs[0], outputs
    assert all(o.startswith(("done", "refused ")) for o in outputs), outputs
    assert get_contract(postgresql_uri, first) == [
        [first, 'posted', '1', '500.00'], [draft, 'posted', '2', '300.00']]


def test_sale_started_twice(postgresql_uri):
    id_ = run_script(postgresql_uri, SALE).strip()

    outputs = click_together(
        postgresql_uri, *[('sale.sale', id_, 'progress_invoice')] * 2)

    # The second opens the invoice of the first
    assert len(set(outputs)) == 1 and outputs[0].startswith("done "), outputs
    contract = get_contract(postgresql_uri, outputs[0].split()[1])
    assert len(contract) == 1


def test_credited_while_posted(postgresql_uri):
    first, draft = run_script(postgresql_uri, DRAFT).split()
    credit_note = run_script(postgresql_uri, CREDIT, first).strip()

    outputs = click_together(
        postgresql_uri, ('account.invoice', draft, 'post'),
        ('account.invoice', credit_note, 'post'))

    contract = {c[0]: c[1:] for c in get_contract(postgresql_uri, first)}
    assert contract[credit_note] == [
        'posted', contract[credit_note][1], '-500.00']
    # Posted first, it bills the difference; else it bills all to 80 %
    assert contract[draft][2] in {'300.00', '800.00'}, (outputs, contract)
    numbers = [c[1] for c in contract.values() if c[0] == 'posted']
    assert len(set(numbers)) == len(numbers)


def test_credit_pressed_while_posted(postgresql_uri):
    first, draft = run_script(postgresql_uri, DRAFT).split()

    outputs = run_together(
        postgresql_uri, (CLICK, 'account.invoice', draft, 'post'),
        (CREDIT_WIZARD, first))

    assert all(o.startswith("done") for o in outputs), outputs
    posted, other, credit_note = get_contract(postgresql_uri, first)
    assert other == [draft, 'posted', '2', '300.00']
    # What it credits does not depend on what was posted meanwhile
    assert credit_note[1:] == ['draft', '3', '-500.00']
    assert run_together(
        postgresql_uri, (CLICK, 'account.invoice', credit_note[0], 'post')
        ) == ["done"]


def test_draft_edited_while_the_document_before_is_posted(postgresql_uri):
    first, draft = run_script(postgresql_uri, DRAFT).split()
    credit_note = run_script(postgresql_uri, CREDIT, first).strip()

    outputs = run_together(
        postgresql_uri, (EDIT, draft, .9),
        (CLICK, 'account.invoice', credit_note, 'post'))

    # What was typed stays and what was credited is billed again
    assert outputs == ["done", "done"]
    contract = {c[0]: c[1:] for c in get_contract(postgresql_uri, first)}
    assert contract[draft] == ['draft', '3', '900.00'], contract
    assert click_together(
        postgresql_uri, ('account.invoice', draft, 'post')) == ["done"]


def test_draft_edited_while_it_is_posted(postgresql_uri):
    first, draft = run_script(postgresql_uri, DRAFT).split()

    outputs = run_together(
        postgresql_uri, (EDIT, draft, .9),
        (CLICK, 'account.invoice', draft, 'post'))

    amount = get_contract(postgresql_uri, first)[1][-1]
    if outputs == ["done", "done"]:
        assert amount == '400.00'
    else:
        # Tryton refuses to modify what is posted
        assert outputs[0] == "done" and outputs[1].startswith("refused ")
        assert amount == '300.00'


def test_eight_contracts_posted(postgresql_uri):
    drafts = run_script(postgresql_uri, EIGHT_DRAFTS).split()

    outputs = click_together(
        postgresql_uri, *(('account.invoice', d, 'post') for d in drafts))

    assert outputs == ["done"] * 8
    contracts = [get_contract(postgresql_uri, d) for d in drafts]
    assert [c[0][1:] for c in contracts] == [['posted', '1', '500.00']] * 8


# Forked to not load the modules again.  The connections of the parent are not
# those of its child.
KILLED = TOOLS + """
    import os
    from itertools import count
    from signal import SIGKILL

    from trytond.backend.postgresql.database import LoggingCursor
    from trytond.modules.project_progress_invoice.tests.refused import (
        snapshot)

    record = Model.get(argv[1])(int(argv[2]))
    before = snapshot()
    execute = LoggingCursor.execute
    for limit in (2 ** n for n in count(3)):
        child = os.fork()
        if not child:
            statements = count(1)

            def execute_or_die(*args, **kwargs):
                if next(statements) > limit:
                    os.kill(os.getpid(), SIGKILL)
                return execute(*args, **kwargs)

            LoggingCursor.execute = execute_or_die
            # Only the button, not the wizard which it opens
            getattr(record._proxy, argv[3])([record.id], record._context)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            break
        assert os.WTERMSIG(status) == SIGKILL
        if snapshot() != before:
            # What it did after its commit is nothing to lose
            break
        print("killed", flush=True)
    else:
        assert not status, status
    assert snapshot() != before
    """


def test_killed_while_posting(postgresql_uri):
    first, draft = run_script(postgresql_uri, DRAFT).split()

    outputs = run_script(
        postgresql_uri, KILLED, 'account.invoice', draft, 'post').split()

    # Half of it changes nothing, and the next try is not hindered
    assert len(outputs) >= 3
    assert get_contract(postgresql_uri, first) == [
        [first, 'posted', '1', '500.00'], [draft, 'posted', '2', '300.00']]


def test_killed_while_valuing(postgresql_uri):
    advance, _, intervention, _ = sell(postgresql_uri, '400', 2)

    outputs = run_script(
        postgresql_uri, KILLED, 'project.intervention', intervention,
        'valorize').split()

    assert len(outputs) >= 3
    assert run_script(postgresql_uri, RESIDUAL, advance).split() == [
        '100.00', '400.00']


def test_two_interventions_valued_on_what_pays_for_one(postgresql_uri):
    advance, _, first, second = sell(postgresql_uri, '400', 2)

    outputs = click_together(
        postgresql_uri, ('project.intervention', first, 'valorize'),
        ('project.intervention', second, 'valorize'))

    # The second is covered by what the first left
    assert all(o.startswith("done ") for o in outputs), outputs
    assert len(set(outputs)) == 2
    assert run_script(postgresql_uri, RESIDUAL, advance).split() == [
        '0.00', '100.00', '400.00']


def test_eight_interventions_valued_on_what_pays_for_four(postgresql_uri):
    advance, _, *interventions = sell(postgresql_uri, '110', 8)

    outputs = click_together(postgresql_uri, *(
            ('project.intervention', i, 'valorize') for i in interventions))

    # Each is covered by what the others left
    assert all(o.startswith("done ") for o in outputs), outputs
    assert len(set(outputs)) == 8
    assert run_script(postgresql_uri, RESIDUAL, advance).split() == [
        '0.00', '60.00', *['110.00'] * 4]


def test_rest_goes_on_to_the_next_advance_once(postgresql_uri):
    output = run_script(postgresql_uri, TWO_ADVANCES)
    advances, interventions = map(str.split, output.splitlines())

    outputs = click_together(postgresql_uri, *(
            ('project.intervention', i, 'valorize') for i in interventions))

    # Each visit of 110.00 uses what the others left of both
    assert all(o.startswith("done ") for o in outputs), outputs
    cancelled = []
    for advance in advances:
        left, *amounts = run_script(postgresql_uri, RESIDUAL, advance).split()
        assert left == '0.00'
        cancelled.extend(map(Decimal, amounts))
    assert sum(cancelled) == 500
    assert max(cancelled) <= 110


def test_intervention_valued_twice(postgresql_uri):
    advance, _, intervention, _ = sell(postgresql_uri, '400', 2)

    outputs = click_together(
        postgresql_uri,
        *[('project.intervention', intervention, 'valorize')] * 2)

    # The second shows the invoice of the first
    assert len(set(outputs)) == 1 and outputs[0].startswith("done "), outputs
    assert run_script(postgresql_uri, RESIDUAL, advance).split() == [
        '100.00', '400.00']


def test_advance_credited_while_it_is_used(postgresql_uri):
    advance, _, intervention, _ = sell(postgresql_uri, '400', 2)
    credit_note = run_script(
        postgresql_uri, CREDIT_HALF, advance).strip()

    outputs = click_together(
        postgresql_uri, ('project.intervention', intervention, 'valorize'),
        ('account.invoice', credit_note, 'post'))

    # What the credit note is about to credit is not used
    assert [o.split()[0] for o in outputs] == ["done", "done"], outputs
    assert run_script(postgresql_uri, RESIDUAL, advance).split() == [
        '0.00', '250.00']


def click_as_clients(url, *clicks):
    """
    Return what the server answered to each client that clicked at the same
    time

    Each click is a tuple of model, id and button.
    """
    barrier = Barrier(len(clicks))

    def click(model, id_, button):
        with set_xmlrpc_session(url, 'admin', PASSWORD) as config:
            method = getattr(config.get_proxy(model), button)
            barrier.wait()
            for delay in [*CLIENT_DELAYS, None]:
                try:
                    method([int(id_)], config.context)
                    return "done"
                except Fault as fault:
                    return fault.faultString
                except ProtocolError as error:
                    if error.errcode != SERVICE_UNAVAILABLE or delay is None:
                        return str(error.errcode)
                time.sleep(delay)

    with ThreadPoolExecutor(len(clicks)) as executor:
        return list(executor.map(click, *zip(*clicks)))


def test_eight_clients_of_a_server(postgresql_uri):
    drafts = run_script(postgresql_uri, EIGHT_DRAFTS).split()
    posted = run_script(postgresql_uri, POSTED).strip()
    set_password(postgresql_uri)

    with start_trytond(postgresql_uri, {'database': {'retry': 40}}) as url:
        posts = click_as_clients(
            url, *(('account.invoice', d, 'post') for d in drafts))
        nexts = click_as_clients(
            url, *[('account.invoice', posted, 'next_progress_invoice')] * 8)

    assert posts == ["done"] * 8
    new = get_contract(postgresql_uri, posted)[1][0]
    assert nexts.count("done") == 1, nexts
    assert sum(f'({new})' in a for a in nexts) == 7, nexts
