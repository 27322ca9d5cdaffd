# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
"""The two wings of the module stand on a small ground"""
import ast
import re
from pathlib import Path

import pytest
import trytond.modules.project_progress_invoice as module

FOLDER = Path(module.__file__).parent
GROUND = {'exceptions', 'common', 'billing'}
CONTRACTS = {'progress', 'contract', 'invoice', 'sale'}
PROJECTS = {
    'pricing', 'project', 'advance', 'cancellation', 'intervention',
    'valorize'}
# What Tryton keeps to itself
PRIVATE = re.compile(
    r'_(before|after)_(create|write|delete)|_local_cache|transaction\.cache|'
    r'create_records|\._values\b|def compute_fields')


def get_imported(name):
    "Return the modules of this one that the file imports"
    tree = ast.parse((FOLDER / f'{name}.py').read_text(encoding='utf-8'))
    return {
        node.module for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level}


@pytest.mark.parametrize('wing', [CONTRACTS, PROJECTS])
def test_wing_imports_only_itself_and_the_ground(wing):
    imported = {name: get_imported(name) for name in wing}
    assert any(names & GROUND for names in imported.values())
    for name, names in imported.items():
        assert names <= wing | GROUND, name


def test_ground_imports_no_wing():
    for name in GROUND:
        assert get_imported(name) <= GROUND


def test_arithmetic_needs_no_tryton():
    code = (FOLDER / 'progress.py').read_text(encoding='utf-8')
    assert 'trytond' not in code and not get_imported('progress')


def test_ground_is_small():
    for name in GROUND:
        lines = (FOLDER / f'{name}.py').read_text(encoding='utf-8')
        assert len(lines.splitlines()) <= 200, name


def test_only_public_hooks():
    assert PRIVATE.search('    def _before_create(cls, vlist):')
    for name in PROJECTS | {'progress', 'contract', 'sale'}:
        code = (FOLDER / f'{name}.py').read_text(encoding='utf-8')
        assert not PRIVATE.search(code), name


def test_no_hook_around_the_statements():
    for path in FOLDER.glob('*.py'):
        code = path.read_text(encoding='utf-8')
        assert not re.search('_(before|after)_(create|write)', code), path
