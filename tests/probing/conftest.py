"""One thread for matrix products: the tests' are small, and several threads wait for each other on a busy machine."""

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """Hold the package's tests to one BLAS thread."""
    with threadpool_limits(1, user_api="blas"):
        yield
