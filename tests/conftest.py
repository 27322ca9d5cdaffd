# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
import fcntl
import hashlib
import os
import shutil
from importlib.metadata import distributions
from pathlib import Path

import pytest
import trytond
import trytond.config
import trytond.modules.project_progress_invoice as module
from hypothesis import HealthCheck, Phase, settings

if os.environ.get('TRYTOND_DATABASE_URI', '').startswith('postgresql'):
    # They start a server of their own whatever the database is
    collect_ignore = ['test_existing.py', 'test_locks.py', 'test_servers.py']

for name, profile in {
        # To shrink what fails takes many times longer
        'ci': {
            'max_examples': 15,
            'derandomize': True,
            'phases': [Phase.explicit, Phase.generate],
            },
        'fuzz': {'max_examples': 500, 'print_blob': True},
        }.items():
    settings.register_profile(
        name, deadline=None, stateful_step_count=20,
        suppress_health_check=list(HealthCheck), **profile)
settings.load_profile('ci')


def get_key():
    "Return a key of everything an activated database is made from"
    key = hashlib.sha256(
        repr(sorted(d.name + d.version for d in distributions())).encode())
    folder = Path(module.__file__).parent
    for path in sorted(
            p for pattern in [
                '*.py', '*.xml', '*.cfg', 'view/*.xml', 'locale/**/*.po',
                'tests/*.py']
            for p in folder.glob(pattern)
            if not p.name.startswith('test_')):
        key.update(path.relative_to(folder).as_posix().encode())
        key.update(path.read_bytes())
    return key.hexdigest()[:16]


def pytest_configure(config):
    # SQLite can not roll back the transaction in which Tryton renews its
    # caches: what is started again there would find its own half
    trytond.config.set('cache', 'clean_timeout', str(24 * 60 * 60))
    folder = config.cache.mkdir(f'trytond-{trytond.__series__}')
    cache = folder / get_key()
    for path in folder.iterdir():
        if path != cache:
            shutil.rmtree(path, ignore_errors=True)
    os.environ['DB_CACHE'] = str(cache)
    if os.environ.get('TRYTOND_DATABASE_URI', '').startswith('postgresql'):
        # The copies are databases of the same server
        os.environ['DB_CACHE'] = 'postgresql://'
        worker = os.environ.get('PYTEST_XDIST_WORKER', 'main')
        os.environ['DB_NAME'] = f'test_{worker}'


@pytest.fixture(scope='session', autouse=True)
def whole_database_cache(pytestconfig):
    "Keep a process from restoring what the other has only half written"
    # Only here, for the import reads DB_CACHE
    from trytond import backend
    from trytond.cache import Cache
    from trytond.tests import test_tryton
    lock_file = pytestconfig.cache.mkdir('trytond') / 'lock'

    def lock(function):
        def wrapper(*args, **kwargs):
            with open(lock_file, 'w') as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                # The database that it replaces may have other modules
                Cache.drop(test_tryton.DB_NAME)
                if backend.name == 'postgresql':
                    # It is not replaced under a connection, and what the
                    # other process made is not in the list
                    backend.Database(test_tryton.DB_NAME).close()
                    backend.Database.clear_cache()
                return function(*args, **kwargs)
        return wrapper

    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in ['_sqlite_copy', '_pg_restore', '_pg_dump']:
            monkeypatch.setattr(
                test_tryton, name, lock(getattr(test_tryton, name)))
        yield


# The files that take the longest
LONGEST = [
    'test_locks.py', 'test_cost.py', 'test_existing.py', 'test_advance.py',
    'test_prepaid.py', 'test_arithmetic.py', 'test_fuzz_contract.py',
    'test_fuzz_advance.py', 'test_advance_payment.py', 'test_refusals.py',
    'test_packaging.py', 'test_bench.py', 'test_servers.py']


def pytest_collection_modifyitems(items):
    "Begin with what takes the longest to not wait for it at the end"
    items.sort(key=lambda item: (
            LONGEST.index(item.path.name) if item.path.name in LONGEST
            else len(LONGEST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    # Else the files with the most tests come first
    config.option.loadscopereorder = False

    class Scheduling(LoadScopeScheduling):
        "What shares a database runs in one process, a scenario in any"

        def _split_scope(self, nodeid):
            if nodeid.endswith('.rst]'):
                return nodeid
            return super()._split_scope(nodeid)

    return Scheduling(config, log)


@pytest.fixture(scope='session')
def postgresql_uri():
    "A PostgreSQL database from which the stories start"
    from .postgresql import postgresql_database
    with postgresql_database() as uri:
        yield uri


@pytest.fixture(scope='module')
def database():
    "The database from which the stories start, with invoices not printed"
    from trytond.modules.account_invoice.invoice import Invoice

    from .tools import activate
    activate()
    with pytest.MonkeyPatch.context() as monkeypatch:
        # To render the report takes a third of the time to post
        monkeypatch.setattr(
            Invoice, 'print_invoice', classmethod(lambda cls, invoices: None))
        yield
