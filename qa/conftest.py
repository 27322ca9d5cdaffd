# This file is part of Tryton.  The COPYRIGHT file at the top level of
# this repository contains the full copyright notices and license terms.
from ..tests.conftest import (  # noqa: F401
    database, pytest_configure, pytest_xdist_make_scheduler,
    whole_database_cache)
