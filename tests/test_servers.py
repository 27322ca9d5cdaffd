# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""Let several servers and a worker share a database"""
import time
from decimal import Decimal

from proteus import Model, Wizard
from proteus.config import set_xmlrpc_session

from .postgresql import (
    PASSWORD, run_script, set_password, start_program, start_trytond)

PROJECTS, EACH = 3, 40
SECONDS = 300  # after which the worker is not slow but stuck
DONE = """
    from decimal import Decimal

    from trytond.modules.project_progress_invoice.tests.tools import *

    type_ = create_project_type(
        create_deposit_account(), propose_service=True)
    for i in range(int(argv[1])):
        project = create_project(type_, name=f"Project {i}")
        sell_advance(project)
        proxy = Model.get('project.intervention')._proxy
        ids = proxy.create([{
                    'work': project.id,
                    'lines': [('create', [{
                                    'description': "Repair",
                                    'quantity': 1,
                                    'unit_price': Decimal(100),
                                    }])],
                    }] * int(argv[2]), config.context)
        proxy.do(ids, config.context)
        print(project.id)
    """
SECTIONS = {'queue': {'worker': True}}


def count(config, projects, state):
    Intervention = Model.get('project.intervention', config=config)
    return len(Intervention.find([
                ('work', 'in', projects),
                ('state', '=', state),
                ]))


def test_workers_value_what_is_large(postgresql_uri):
    projects = list(map(
            int, run_script(postgresql_uri, DONE, PROJECTS, EACH).split()))
    set_password(postgresql_uri)

    with start_trytond(postgresql_uri, SECTIONS) as one, \
            start_trytond(postgresql_uri, SECTIONS) as other:
        with set_xmlrpc_session(one, 'admin', PASSWORD) as config:
            wizard = Wizard('project.intervention.value_many', config=config)
            Work = Model.get('project.work', config=config)
            wizard.form.works.extend(Work.find([('id', 'in', projects)]))
            wizard.execute('value')

            # The first invoice is made and shown at once
            assert len(wizard.actions[0]) == 1
            assert count(config, projects, 'invoiced') == EACH
            assert count(config, projects, 'done') == EACH * (PROJECTS - 1)

        with set_xmlrpc_session(other, 'admin', PASSWORD) as config, \
                start_program(
                    postgresql_uri, 'trytond-worker', SECTIONS
                    ) as (worker, log):
            end = time.monotonic() + SECONDS
            while count(config, projects, 'done'):
                assert worker.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(.1)

            Advance = Model.get('project.advance_invoice', config=config)
            assert [
                a.residual_amount for a in Advance.find([
                        ('work', 'in', projects),
                        ])] == [Decimal(1000)] * PROJECTS
            Invoice = Model.get('account.invoice', config=config)
            assert len(Invoice.find([
                        ('lines.intervention.work', 'in', projects),
                        ])) == PROJECTS
