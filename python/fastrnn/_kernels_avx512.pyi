from fastrnn._kernels_baseline import *
