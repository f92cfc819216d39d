"""The tensors of a safetensors file with their dtypes, for tests that damage them and write them again."""

import json
import struct

import numpy as np
from safetensors import deserialize


def header_of(content):
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length])


def description_of(content):
    return json.loads(header_of(content)["__metadata__"]["fastrnn"])


def written(path, tensors, description):
    """Write tensors, each a pair of dtype and array, with a description."""
    header, data = {"__metadata__": {"fastrnn": json.dumps(description)}}, b""
    for name, (dtype, array) in sorted(tensors.items(), key=lambda item: -item[1][1].itemsize):
        begin, data = len(data), data + array.tobytes()
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def stored(content):
    """Return the tensors of a file as `written` takes them."""
    kinds = {"F32": np.float32, "I8": np.int8, "BF16": np.uint16}
    return {
        name: (part["dtype"], np.frombuffer(part["data"], kinds[part["dtype"]]).reshape(part["shape"]))
        for name, part in deserialize(content)
    }


def q(values):
    return "I8", np.array(values, np.int8)


def floats(values):
    return "F32", np.array(values, np.float32)


def changed(tensors, name, place, value):
    dtype, array = tensors[name]
    array = array.copy()
    array[place] = value
    return {**tensors, name: (dtype, array)}
