# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path, PurePosixPath

import pytest
import trytond

SOURCE = Path(__file__).parent.parent
PACKAGE = 'trytond/modules/project_progress_invoice'

pytestmark = pytest.mark.skipif(
    not (SOURCE / 'setup.py').exists(), reason="Not a source folder")


def run(*args, **kwargs):
    process = subprocess.run(
        args, text=True, stdin=subprocess.DEVNULL, capture_output=True,
        **kwargs)
    assert not process.returncode, process.stdout + process.stderr
    return process.stdout


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp('wheel')
    # The build leaves files beside setup.py
    source = shutil.copytree(
        SOURCE, folder / 'source', ignore=shutil.ignore_patterns(
            '.*', '__pycache__', '*.egg-info', 'build', 'dist'))
    run(sys.executable, '-m', 'pip', 'wheel', '--no-deps',
        '--wheel-dir', folder, source)
    wheel, = folder.glob('*.whl')
    return wheel


def test_wheel_holds_every_file(wheel):
    expected = {
        f'{PACKAGE}/{path.relative_to(SOURCE).as_posix()}'
        for pattern in [
            '*.py', '*.xml', 'tryton.cfg', 'view/**/*.xml', 'locale/**/*.po',
            'icons/**/*.svg', '**/*.fodt', 'tests/**/*.py', 'tests/**/*.rst',
            'tests/**/*.json']
        for path in SOURCE.glob(pattern)
        if not path.relative_to(SOURCE).parts[0].startswith('.')}

    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())

    assert expected - held == set()


def test_wheel_holds_nothing_that_needs_a_client(wheel):
    helpers = {p.name for p in (SOURCE / 'qa').glob('*.py')} - {
        '__init__.py', 'conftest.py'}
    assert {'sao.py', 'gtk.py', 'served.py', 'neighbours.py'} <= helpers

    with zipfile.ZipFile(wheel) as archive:
        held = {
            PurePosixPath(name).relative_to(PACKAGE)
            for name in archive.namelist() if name.startswith(PACKAGE)}

    assert not helpers & {path.name for path in held}
    assert not {'qa', 'demo', 'bench'} & {path.parts[0] for path in held}


def test_wheel_activates(wheel, tmp_path):
    environment = tmp_path / 'environment'
    venv.create(environment, with_pip=True)
    run(environment / 'bin' / 'python', '-m', 'pip', 'install',
        wheel, f'trytond == {trytond.__series__}.*')
    (tmp_path / 'trytond.conf').write_text(
        f'[database]\nuri = sqlite://\npath = {tmp_path}\n')
    (tmp_path / 'password').write_text('a long secret')
    (tmp_path / 'test.sqlite').touch()
    env = {
        name: value for name, value in os.environ.items()
        if not name.startswith(('TRYTOND_', 'DB_', 'PYTHON'))}
    env['TRYTONPASSFILE'] = str(tmp_path / 'password')

    run(environment / 'bin' / 'trytond-admin',
        '-c', tmp_path / 'trytond.conf', '-d', 'test',
        '--email', 'admin@example.com',
        '-u', 'project_progress_invoice', '--activate-dependencies',
        cwd=tmp_path, env=env)
    modules = run(
        environment / 'bin' / 'python', '-c',
        "import sqlite3\n"
        "for name, in sqlite3.connect('test.sqlite').execute("
        "'SELECT name FROM ir_module WHERE state = \"activated\"'):\n"
        "    print(name)",
        cwd=tmp_path, env=env)

    assert 'project_progress_invoice' in modules.split()
