//! Has no tests: a small target that checks the library and the binary with the dependencies of the tests.
