"""Messages of Python and its packages about an installation: modules, NumPy, protobuf, Keras, HDF5."""

from __future__ import annotations

from tfguard.diagnosis.shape import Shape, shape

_NAME = r"['\"]?(?P<{}>[A-Za-z_][\w.]{{0,150}})['\"]?"
_SYMBOL, _MODULE = _NAME.format("symbol"), _NAME.format("object")


def _python(
    kind: str,
    marks: str | tuple[str, ...],
    pattern: str,
    *,
    weight: int = 1,
    loader: str = "python",
    claims: bool = True,
    reach: int = 0,
    lead: int = 250,
) -> Shape:
    return shape(kind, marks, pattern, loader=loader, weight=weight, claims=claims, reach=reach, lead=lead, traced=True)


NUMPY: tuple[Shape, ...] = (
    _python("numpy-abi", "_array_api not found", r"_ARRAY_API not found", weight=0, loader="numpy"),
    _python(
        "numpy-abi",
        "compiled using numpy",
        r"compiled using NumPy (?P<need>[\d.x]{1,12}) cannot be run in(?:[\n ]{1,3}NumPy (?P<have>[\w.]{1,20}[\w]))?",
        weight=0,
        loader="numpy",
        reach=2,
    ),
    _python(
        "numpy-abi",
        ("compiled against a", "compiled with api", "compiled with abi", "api version 0x", "abi version 0x"),
        r"compiled (?:against|with) (?:NumPy )?(?:C-)?A[PB]I(?: version)? (?P<need>(?:0x)?[0-9a-f]{1,8})\b.{1,80}?"
        r"(?P<have>0x[0-9a-f]{1,8}|(?<=numpy is )[0-9a-f]{1,2}\b)",
        weight=0,
        loader="numpy",
    ),
    _python(
        "numpy-abi",
        "size changed",
        r"numpy\.(?P<symbol>dtype|ufunc|ndarray) size changed[^\n]{0,200}",
        weight=0,
        loader="numpy",
    ),
    _python(
        "numpy-abi",
        "was removed in the numpy 2.0",
        r"`?'?(?P<symbol>np\.\w{1,40})'? was removed in the NumPy 2\.0 release",
        weight=0,
        loader="numpy",
    ),
    _python(
        "numpy-abi",
        "has no attribute",
        r"module 'numpy(?:\.core\.multiarray|\.core\.umath|\.random)?' has no attribute " + _SYMBOL,
        weight=0,
        loader="numpy",
    ),
    _python(
        "numpy-abi",
        "failed to import",
        r"numpy\.(?:_?core|_core)\.\w+ failed to import",
        loader="numpy",
    ),
    _python(
        "numpy-abi",
        "convert function return value to a python type",
        r"Unable to convert function return value to a Python type! The signature was",
        weight=0,
        loader="pybind11",
    ),
    _python("numpy-abi", "pybfloat16_type.tp_base", r"Check failed: PyBfloat16_Type\.tp_base", loader="numpy"),
    _python(
        "numpy-abi",
        "raised unreported exception",
        r"initialization of " + _MODULE + r" raised unreported exception",
        weight=2,
        loader="numpy",
    ),
    _python(
        "numpy-abi",
        "cannot import name",
        r"cannot import name " + _SYMBOL + r" from ['\"]numpy(?:\.[\w.]+)?['\"]",
        loader="numpy",
    ),
    _python(
        "no-module-numpy",
        "no module named",
        r"No module named ['\"]?(?P<object>numpy\.(?:_?core|_core)\.\w{1,40})",
        weight=0,
        loader="numpy",
    ),
    _python(
        "no-module-numpy",
        "c-extensions failed",
        r"Importing the numpy (?P<object>C-extensions|c-extensions) failed",
        weight=3,
        loader="numpy",
    ),
    _python(
        "no-module-numpy",
        "import numpy from its source",
        r"Error importing numpy: you should not try to import numpy from its source directory",
        weight=3,
        loader="numpy",
    ),
    _python(
        "no-module-numpy",
        "multiarray numpy extension",
        r"Importing the multiarray numpy extension module failed",
        weight=3,
        loader="numpy",
    ),
)

PROTOBUF: tuple[Shape, ...] = (
    _python(
        "protobuf",
        "be created directly",
        r"Descriptors? (?:cannot|can not|can't|should not|must not) (?:not )?be created directly",
        weight=0,
        loader="protobuf",
    ),
    _python(
        "protobuf",
        "google.protobuf",
        r"cannot import name " + _SYMBOL + r" from (?:partially initialized module )?['\"]google\.protobuf[\w.]{0,60}",
        weight=0,
        loader="protobuf",
    ),
    _python(
        "protobuf",
        ("runtime_version", "builder", "descriptor_pool", "symbol_database", "_reflection", "type_wrapper"),
        r"cannot import name ['\"]?(?P<symbol>runtime_version|builder|descriptor_pool|symbol_database"
        r"|service_reflection|enum_type_wrapper)['\"]?",
        weight=0,
        loader="protobuf",
    ),
    _python(
        "protobuf",
        ("gencode/runtime", "gencode version"),
        r"(?:Detected (?:incompatible|mismatched) Protobuf Gencode/Runtime|gencode version (?P<need>[\d.]{1,12})"
        r" )[^\n]{0,200}",
        weight=0,
        loader="protobuf",
    ),
    _python(
        "protobuf",
        "no module named",
        r"No module named ['\"]?(?P<object>google\.protobuf(?:\.[\w.]{1,80})?|google|protobuf)['\"]?$",
        weight=1,
        loader="protobuf",
    ),
    _python(
        "protobuf",
        "protocol buffer runtime",
        r"This program requires version (?P<need>[\d.]{1,12}) of the Protocol Buffer runtime library, but the"
        r" installed version is (?P<have>[\d.]{1,12}\d)",
        weight=0,
        loader="protobuf",
    ),
    _python(
        "protobuf",
        ("'serialized_options'", "'create_key'", "'serialized_pb'", "'syntax'"),
        r"unexpected keyword argument '(?P<symbol>serialized_options|create_key|serialized_pb|syntax)'",
        weight=0,
        loader="protobuf",
    ),
    _python(
        "protobuf",
        ("'messagefactory'", "descriptor", "'symboldatabase'", "google.protobuf"),
        r"(?:'(?:MessageFactory|FieldDescriptor|SymbolDatabase|Descriptor\w{0,20})' object|module"
        r" ['\"]google\.protobuf[\w.]{0,60}['\"]) has no attribute " + _SYMBOL,
        weight=0,
        loader="protobuf",
    ),
    _python(
        "protobuf",
        ("google/protobuf", "google\\protobuf"),
        r"\bSystemError\b[^\n]{0,20}google[/\\]protobuf[/\\]pyext[^\n]{0,100}",
        weight=0,
        loader="protobuf",
    ),
    _python(
        "protobuf",
        ("_descriptor.", "serialized_options=", "serialized_pb="),
        r"\b_descriptor\.(?:\w{0,20}Descriptor|FileDescriptor|_internal_create_key)\b|\bserialized_(?:options|pb)=",
        weight=3,
        loader="protobuf",
        claims=False,
    ),
    # a traceback of which only frames are left: generated code runs nothing else than protobuf when it is imported
    _python(
        "protobuf",
        "_pb2.py",
        r"[/\\]\w{1,80}_pb2\.py['\"]?(?:, line |:)\d{1,6}",
        weight=3,
        loader="protobuf",
        claims=False,
    ),
    _python(
        "protobuf",
        "expected a message object, but got",
        r"expected a message object, but got",
        weight=0,
        loader="protobuf",
    ),
    _python(
        "protobuf",
        ("google.protobuf", "google/protobuf", "google\\protobuf"),
        r"\b(?:Import|Attribute|Key|Type|ModuleNotFound)Error\b[^\n]{0,300}google[./\\]protobuf",
        weight=2,
        loader="protobuf",
    ),
)

KERAS: tuple[Shape, ...] = (
    _python(
        "keras",
        "cannot import name",
        r"cannot import name ['\"]?(?P<symbol>\w{0,40}keras\w{0,40})\b['\"]?(?!['\"]? from partially)"
        r"(?: from ['\"](?P<object>[\w.]{1,100})['\"])?",
        weight=1,
        loader="keras",
    ),
    _python(
        "keras",
        "cannot import name",
        r"cannot import name "
        + _SYMBOL
        + r" from (?:partially initialized module )?['\"](?P<object>(?:tf_)?keras(?:_core)?(?:\.[\w.]{1,80})?"
        r"|tensorflow(?:\.python)?\.keras[\w.]{0,80}|tensorflow\.tools\.docs)['\"]",
        weight=0,
        loader="keras",
    ),
    _python("keras", "dtensor", r"cannot import name ['\"]?(?P<symbol>dtensor)['\"]?", weight=0, loader="keras"),
    _python(
        "keras",
        "no module named",
        r"No module named ['\"]?(?P<object>(?:tf_keras|keras)(?:\.[\w.]{1,80})?"
        r"|tensorflow\.(?:python\.)?keras[\w.]{0,80})['\"]?",
        weight=1,
        loader="keras",
    ),
    _python(
        "keras",
        "has no attribute",
        r"module ['\"](?P<object>(?:tf_)?keras[\w.]{0,80}|tensorflow\.(?:_api\.v2\.|python\."
        r"|compat\.v2\.)?[\w.]{0,40}keras[\w.]{0,60})['\"] has no attribute " + _SYMBOL,
        weight=0,
        loader="keras",
    ),
    _python(
        "keras",
        "dtensor",
        r"module ['\"](?P<object>tensorflow[\w.]{0,80})['\"] has no attribute ['\"](?P<symbol>dtensor)",
        weight=0,
        loader="keras",
    ),
    _python(
        "keras",
        ("keras is keras 3", "backwards-compatible tf-keras"),
        r"installed version of Keras is Keras 3|(?:install|using) the backwards-compatible tf-keras",
        weight=0,
        loader="keras",
    ),
    _python(
        "keras",
        "keras requires tensorflow",
        r"Keras requires TensorFlow (?P<need>[\d.]{1,10})[^\n]{0,80}",
        weight=0,
        loader="keras",
    ),
    _python(
        "keras",
        "another metric with the same name",
        r"Another metric with the same name already exists",
        weight=0,
        loader="keras",
    ),
)

HDF5: tuple[Shape, ...] = (
    _python(
        "hdf5", "hdf5 library version mismatched", r"HDF5 library version mismatched error", weight=0, loader="h5py"
    ),
    _python(
        "hdf5",
        "running against hdf5",
        r"h5py is running against HDF5 (?P<have>[\d.]{1,12}) when it was built against (?P<need>[\d.]{1,12}\d)",
        weight=2,
        loader="h5py",
    ),
    _python("hdf5", "dependency hdf5", r"Unable to load dependency HDF5", weight=0, loader="h5py"),
    _python(
        "hdf5",
        "h5py",
        r"['\"]?(?P<object>h5py\.[\w.]{1,60})['\"]? has no attribute " + _SYMBOL,
        weight=0,
        loader="h5py",
    ),
    _python(
        "hdf5",
        "cannot import name",
        r"cannot import name " + _SYMBOL + r" from (?:partially initialized module )?['\"]h5py[\w.]{0,60}['\"]",
        weight=0,
        loader="h5py",
    ),
    _python(
        "hdf5",
        "object has no attribute 'decode'",
        r"'str' object has no attribute '(?P<symbol>decode)'",
        loader="h5py",
        claims=False,
    ),
    _python("hdf5", "h5py", r"module ['\"](?P<object>h5py)['\"] has no attribute " + _SYMBOL, weight=0, loader="h5py"),
    _python("hdf5", "size changed", r"(?P<object>h5py\.[\w.]{1,60}) size changed", weight=0, loader="h5py"),
    _python("hdf5", "no module named", r"No module named ['\"]?(?P<object>h5py\.[\w.]{1,60})", weight=0, loader="h5py"),
)

MODULES: tuple[Shape, ...] = (
    _python(
        "no-init",
        "does not define",
        r"dynamic module does not define (?:module export|init) function ?\(?['\"]?(?P<symbol>\w{0,120})",
        weight=0,
    ),
    _python(
        "python-release",
        ("python version mismatch", "bad magic number"),
        r"Python version mismatch: module was compiled for Python (?P<need>[\d.]{1,8}), but the interpreter version is"
        r" incompatible: (?P<have>[\d.]{1,8})|[Bb]ad magic number in ['\"]?(?P<object>[\w.]{1,120})",
        weight=0,
    ),
    _python(
        "lazy-loader",
        "is not a package",
        r"No module named ['\"]?(?P<object>tensorflow[\w.]{0,80})['\"]?;"
        r" ['\"]?(?P<requirer>tensorflow\.[\w.]{1,60})['\"]? is not a package",
    ),
    _python(
        "shadowed",
        "is not a package",
        r"No module named ['\"]?(?P<object>[\w.]{1,80})['\"]?; ['\"]?(?P<requirer>[\w.]{1,60})['\"]? is not a package",
    ),
    _python(
        "shadowed",
        "partially initialized module",
        r"(?:cannot import name ['\"](?P<symbol>\w{1,80})['\"] from )?partially initialized module"
        r" ['\"](?P<object>[\w.]{1,80})['\"](?: has no attribute ['\"]\w{1,80}['\"])? ?\(most likely due to a"
        r" circular import\)(?: \((?P<library>[^)\n]{1,400})\))?",
    ),
    _python("shadowed", "consider renaming", r"\(consider renaming ['\"](?P<library>[^'\"\n]{1,400})['\"]", weight=0),
    _python(
        "source-tree",
        "pywrap_tensorflow",
        r"cannot import name ['\"]?(?P<symbol>_?pywrap_tensorflow(?:_internal)?)['\"]?(?! from partially)",
    ),
    _python(
        "source-tree",
        "from its source directory",
        r"(?:Do not|Please do not) import tensorflow from its source directory",
        weight=1,
    ),
    _python(
        "no-module-generated",
        "_pb2",
        r"No module named ['\"]?(?P<object>(?:\w{1,60}\.){0,8}\w{1,60}_pb2)\b",
        weight=1,
        claims=False,
    ),
    _python("no-module-native", "_pywrap_", r"No module named ['\"]?(?P<object>[\w.]{0,60}_pywrap_\w{1,60})"),
    _python("no-module-tensorflow", "no module named", r"No module named ['\"]?(?P<object>tensorflow)['\"]?(?![\w.;])"),
    _python(
        "no-module-in-tensorflow",
        "no module named",
        r"No module named ['\"]?(?P<object>tensorflow(?:_core|_intel)?\.[\w.]{1,80})",
    ),
    _python(
        "no-attribute-native",
        "has no attribute",
        r"module ['\"](?P<object>(?:[\w.]{1,80}\.)?_pywrap_\w{1,60})['\"] has no attribute " + _SYMBOL,
    ),
    _python(
        "no-attribute-tensorflow",
        ("has no attribute", "had no attribute"),
        r"module ['\"](?P<object>tensorflow[\w.]{0,80})['\"] ha[sd] no attribute " + _SYMBOL,
        weight=2,
    ),
    _python(
        "cannot-import-tensorflow",
        "cannot import name",
        r"cannot import name "
        + _SYMBOL
        + r" from ['\"](?P<object>tensorflow[\w.]{0,80})['\"](?: \((?P<library>[^)\n]{1,400})\))?",
        weight=2,
    ),
    _python(
        "no-module-native",
        "no module named",
        r"No module named ['\"]?(?P<object>(?:\w{1,40}\.){0,6}_[a-z]\w{0,60})['\"]?$",
        weight=2,
    ),
)

# Any exception that ends an import: then the package whose file it came out of tells.
ERRORS: tuple[Shape, ...] = (
    _python(
        "python-error",
        ("error:", "error("),
        r"(?:^|[\s.'\"])(?P<errno>(?:Type|Attribute|Import|ModuleNotFound|Key|Name|System|Value|Runtime|Syntax)Error)"
        r"(?:: ?|\(['\"]?)(?P<detail>[^\n]{1,300})",
        weight=3,
        claims=False,
    ),
    _python(
        "no-module",
        "no module named",
        r"ModuleNotFoundError: No module named ['\"](?P<object>\w{1,80})['\"]$",
        weight=3,
        claims=False,
    ),
)
SHAPES = (*NUMPY, *PROTOBUF, *HDF5, *MODULES[:5], *KERAS, *MODULES[5:], *ERRORS)
