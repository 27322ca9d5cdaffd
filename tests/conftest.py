# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
import hashlib
import os
import shutil
from importlib.metadata import distributions
from pathlib import Path

import pytest
import trytond
import trytond.modules.project_progress_invoice as module


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
    folder = config.cache.mkdir(f'trytond-{trytond.__series__}')
    cache = folder / get_key()
    for path in folder.iterdir():
        if path != cache:
            shutil.rmtree(path, ignore_errors=True)
    os.environ['DB_CACHE'] = str(cache)


@pytest.fixture(scope='session', autouse=True)
def whole_database_cache():
    "Keep a process from restoring what the other has only half written"
    # Only here, for the import reads DB_CACHE
    from trytond.cache import Cache
    from trytond.tests import test_tryton
    sqlite_copy = test_tryton._sqlite_copy

    def copy(file_, restore=False):
        if restore:
            # The database that it replaces may have other modules
            Cache.drop(test_tryton.DB_NAME)
            return sqlite_copy(file_, restore=True)
        partial = f'{file_}.{os.getpid()}'
        sqlite_copy(partial)
        os.replace(partial, file_)
        return True

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(test_tryton, '_sqlite_copy', copy)
        yield


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        "What shares a database runs in one process, a scenario in any"

        def _split_scope(self, nodeid):
            if nodeid.endswith('.rst]'):
                return nodeid
            return super()._split_scope(nodeid)

    return Scheduling(config, log)


@pytest.fixture(scope='session')
def postgresql_uri(tmp_path_factory):
    "A PostgreSQL database from which the stories start"
    from .postgresql import postgresql_database
    with postgresql_database(tmp_path_factory.mktemp('postgresql')) as uri:
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
