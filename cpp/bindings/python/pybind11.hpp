// pybind11, compiled for size, because it is part of every file of bindings: that makes a module a tenth smaller, a
// step of a stream no slower, and a call of a layer slower by about a microsecond. Only this file includes pybind11.
#pragma once

// What pybind11 includes, so that the standard library is compiled as everywhere else.
#include <Python.h>

#include <algorithm>
#include <array>
#include <complex>
#include <cstring>
#include <exception>
#include <forward_list>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <numeric>
#include <sstream>
#include <string>
#include <tuple>
#include <typeindex>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("Os")
#endif
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
