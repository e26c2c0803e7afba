"""Messages of TensorFlow and its neighbours: processor, registered twice, GPU, OpenMP, harmless."""

from __future__ import annotations

from tfguard.diagnosis.shape import Shape, shape


def _tf(
    kind: str,
    marks: str | tuple[str, ...],
    pattern: str,
    *,
    weight: int = 0,
    loader: str = "tensorflow",
    reach: int = 0,
) -> Shape:
    return shape(kind, marks, pattern, loader=loader, weight=weight, claims=True, reach=reach)


HARMLESS: tuple[Shape, ...] = (
    _tf(
        "harmless-cpu-features",
        (
            "is optimized",
            "was not compiled to use",
            "wasn't compiled to use",
            "to enable them in other operations",
            "to enable the following instructions",
        ),
        r"(?:TensorFlow binary is optimized|(?:was not|wasn't) compiled to use|To enable (?:them in other operations"
        r"|the following instructions))",
        weight=5,
    ),
    _tf("harmless-onednn", "onednn custom operations", r"oneDNN custom operations are on", weight=5),
    _tf(
        "harmless-tensorrt",
        ("tensorrt", "tf-trt warning"),
        r"TF-TRT Warning|Could not find TensorRT|Cannot dlopen some TensorRT libraries",
        weight=5,
    ),
    _tf(
        "harmless-cudart",
        "ignore above cudart dlerror",
        r"Ignore above cudart dlerror if you do not have a GPU",
        weight=5,
    ),
    _tf(
        "harmless-hdfs",
        "hadoopfilesystem load error",
        r"HadoopFileSystem load error:? ?(?P<object>\S{0,200})",
        weight=5,
    ),
    _tf(
        "harmless-factory",
        ("unable to register cu", "register factory for plugin"),
        r"Unable to register cu\w+ (?:factory|plugin)|Attempting to register factory for plugin",
        weight=5,
    ),
    _tf(
        "harmless-numa",
        "numa node",
        r"successful NUMA node read from SysFS|could not open file to read NUMA node|could not identify NUMA node",
        weight=5,
    ),
    _tf(
        "harmless-opened",
        ("opened dynamic library", "opened cuda library"),
        r"[Ss]uccessfully opened (?:dynamic library|CUDA library)",
        weight=5,
    ),
    _tf(
        "harmless-absl-log",
        ("all log messages before absl", "absl::initializelog"),
        r"All log messages before absl::InitializeLog|absl::InitializeLog",
        weight=5,
    ),
    _tf(
        "harmless-numpy-future",
        "passing (type, 1)",
        r"Passing \(type, 1\) or '1type' as a synonym of type is deprecated",
        weight=5,
    ),
    _tf(
        "harmless-deprecated",
        "will be removed in a future version",
        r"is deprecated and will be removed in a future version",
        weight=5,
    ),
    _tf(
        "harmless-xla",
        ("xla service", "not creating xla devices"),
        r"XLA service 0x|Not creating XLA devices",
        weight=5,
    ),
    _tf(
        "harmless-compiletime",
        "compiletime version",
        r"compiletime version [\d.]{1,8} of module '[\w.]{1,120}' does not match runtime version",
        weight=5,
    ),
    _tf(
        "harmless-computation-placer",
        "computation placer already registered",
        r"computation placer already registered",
        weight=5,
    ),
)

PROCESSOR: tuple[Shape, ...] = (
    _tf(
        "cpu-feature",
        ("was compiled to use", "compiled to use"),
        r"compiled to use (?P<detail>[A-Z][\w.]{1,12}(?:[, ]{1,2}(?:and )?[A-Z][\w.]{1,12}){0,6}) instructions?,?"
        r" but (?:these|they) (?:aren't|are not|arent)",
    ),
    _tf(
        "cpu-feature-jax",
        ("was built using", "built using avx"),
        r"(?P<object>jaxlib|\w{1,20}) was built using (?P<detail>\w{1,12}) instructions,? which your CPU",
    ),
)

REGISTERED: tuple[Shape, ...] = (
    _tf("op-twice", "op with name", r"Already exists: ?Op with name (?P<symbol>\w{1,100})"),
    _tf("op-twice", "op with name", r"Op with name (?P<symbol>\w{1,100}) (?:is )?(?:already|registered twice)"),
    _tf(
        "op-twice",
        "already registered",
        r"(?P<symbol>File system for \w{1,40}|\w{1,60} (?:kernel|op|device|factory)) already registered",
    ),
    _tf(
        "op-twice",
        "alreadyexistserror",
        r"\bAlreadyExistsError\b(?!: ?Another metric)(?:: ?(?P<symbol>[^\n]{0,120}))?",
    ),
    _tf("op-twice", "registering two gradient", r"Registering two gradient with name '(?P<symbol>\w{1,100})'"),
    _tf(
        "op-twice",
        ("multiple opkernel registrations", "registered multiple times", "duplicate registration", "valid watcher"),
        r"Multiple OpKernel registrations match NodeDef[^\n]{0,120}|registered multiple times|[Dd]uplicate registration"
        r"|Cannot over-write a valid watcher",
    ),
    _tf(
        "op-twice",
        ("register an operator", "single torch_library"),
        r"Tried to register an operator \((?P<symbol>[\w:]{1,100})[^\n]{0,600}multiple times"
        r"|Only a single TORCH_LIBRARY can be used to register the namespace (?P<object>\w{1,80})",
        loader="torch",
    ),
    _tf(
        "proto-twice",
        "already exists in database",
        r"File already exists in database: ?(?P<object>\S{0,300})",
        loader="protobuf",
    ),
    _tf(
        "proto-twice",
        "duplicate file name",
        r"duplicate file name:? ?\(?(?P<object>[\w./-]{1,200}\.proto)?",
        loader="protobuf",
    ),
    _tf(
        "proto-twice",
        ("descriptor pool", "conflict register for file"),
        r"Couldn't build proto file into descriptor pool[^\n]{0,200}|[Cc]onflict register for file"
        r" ['\"]?(?P<object>[\w./-]{1,200}\.proto)",
        loader="protobuf",
    ),
    _tf(
        "proto-twice",
        "conflicts with the existing symbol",
        r"Symbol name ['\"]?(?P<symbol>[\w.]{1,200})['\"]? conflicts with the existing symbol",
        loader="protobuf",
    ),
    _tf(
        "proto-twice",
        ("generateddatabase()->add", "generated_database_->add"),
        r"(?:GeneratedDatabase\(\)|generated_database_)->Add",
        loader="protobuf",
        weight=1,
    ),
    _tf(
        "openmp-twice",
        ("error #15", "already initialized"),
        r"(?:OMP: )?Error #15: Initializing (?P<object>\S{1,60}), but found (?P<library>\S{1,60}) already"
        r" initiali[sz]ed",
        loader="openmp",
    ),
    _tf(
        "openmp-twice",
        "multiple copies of the openmp runtime",
        r"multiple copies of the OpenMP runtime have been linked",
        loader="openmp",
        weight=1,
    ),
    _tf(
        "no-kernel",
        ("no opkernel was registered", "no registered '"),
        r"No (?:OpKernel was registered to support Op|registered) '(?P<symbol>\w{1,80})'(?: OpKernel for"
        r" (?P<detail>'?\w{1,20}'?) devices)?",
    ),
    _tf(
        "no-kernel",
        ("cannot assign a device", "no supported kernel"),
        r"Cannot assign a device for operation (?P<symbol>\S{1,80})|no supported kernel for (?P<detail>\w{1,20})"
        r" devices",
        weight=1,
    ),
    _tf("no-op", "op type not registered", r"Op type not registered ['\"]?(?P<symbol>[\w>]{1,100})"),
    _tf("emulator", "sampler.cc", r"sampler\.cc:\d+\] Check failed: bucket_limits_", weight=0, loader="qemu"),
    _tf(
        "emulator",
        "uncaught target signal",
        r"(?P<object>qemu[\w-]*): uncaught target signal (?P<errno>\d+)(?: \((?P<detail>[^)]{1,40})\))?",
        loader="qemu",
    ),
)

GPU: tuple[Shape, ...] = (
    _tf(
        "gpu-soft-missing",
        "could not load dynamic library",
        r"Could not load dynamic library '?(?P<library>[\w.+-]{1,100})'?(?:; ?dlerror: ?(?P<detail>[^;\n]{0,300}))?",
        weight=4,
    ),
    _tf(
        "gpu-soft-missing",
        "; dlerror:",
        r"'(?P<library>[\w.+-]{1,100})'; dlerror: ?(?P<detail>[^;\n]{0,300})",
        weight=4,
    ),
    _tf(
        "gpu-soft-missing",
        "couldn't open cuda library",
        r"Couldn't open CUDA library (?P<library>[\w.+-]{1,100}?)\.?(?= |$)",
        weight=4,
    ),
    _tf("gpu-soft-missing", "cannot dlopen some gpu libraries", r"Cannot dlopen some GPU libraries", weight=4),
    _tf(
        "gpu-soft-missing",
        ("could not find cuda drivers", "cuda drivers on your machine"),
        r"Could not find cuda drivers on your machine",
        weight=5,
    ),
    _tf(
        "gpu-driver",
        ("kernel driver does not appear", "no nvidia driver"),
        r"kernel driver does not appear to be running|no NVIDIA driver on your system",
        weight=4,
    ),
    _tf(
        "gpu-driver-old",
        ("driver version is insufficient", "does not match dso version", "driver on your system is too old"),
        r"CUDA driver version is insufficient for CUDA runtime version|kernel version (?P<have>[\d.]+) does not"
        r" match DSO version (?P<need>[\d.]+\d)|driver on your system is too old",
    ),
    _tf("gpu-none", "failed call to cuinit", r"failed call to cuInit:? ?(?P<detail>[^\n]{0,120})", weight=4),
    _tf(
        "cudnn-several",
        "runtime cudnn library",
        r"Loaded runtime CuDNN library:? (?P<have>[\d.]+\d) but source was compiled with:? (?P<need>[\d.]+\d)",
    ),
    _tf(
        "tensorrt-hidden",
        "unable to load library: libnvinfer",
        r"Unable to load library: (?P<object>libnvinfer[\w.]{1,80})",
        loader="tensorrt",
    ),
)

ADDONS: tuple[Shape, ...] = (
    _tf(
        "addon-version",
        "installed with version",
        r"Framework (?P<object>\w{1,40}) installed with version (?P<need>[\w.]{1,30}) but found version"
        r" (?P<have>[\w.]{1,30}\w)",
        loader="horovod",
    ),
    _tf(
        "addon-version",
        "for all tensorflow versions above or equal",
        r"(?P<object>[Tt]ensor[Ff]low[ _-]?[Aa]ddons) supports using Python ops for all Tensorflow versions above or"
        r" equal to (?P<need>[^\n(]{1,60})",
        loader="addons",
        weight=3,
    ),
    _tf(
        "addon-version",
        ("compiled against tensorflow", "compiled with tensorflow"),
        r"compiled (?:against|with) (?:TensorFlow|tensorflow)(?: version)?"
        r" (?P<need>[\d.]+)[^\n]{0,120}?(?P<have>\d+\.[\d.]+)",
        loader="addons",
    ),
    _tf(
        "addon-version",
        "trying to load a custom op",
        r"using TensorFlow (?P<have>[\d.]+)[^\n]{0,20} and trying to load a custom op[^\n]{0,400}\s{0,4}"
        r"(?:TensorFlow Addons has compiled its custom ops against TensorFlow (?P<need>[\d.]+\d))?",
        loader="addons",
        weight=3,
        reach=2,
    ),
    _tf(
        "addon-version",
        "tensorflow you are",
        r"versions? of TensorFlow you are (?:currently )?using is (?P<have>[\w.]{1,20}) and is not (?:strictly"
        r" )?supported",
        loader="addons",
        weight=3,
    ),
    _tf(
        "addon-version",
        "requires tensorflow version",
        r"(?<![\w-])(?P<object>\w[\w -]{2,59}?) requires TensorFlow version ?(?P<need>[~<>=!\d][^;\n]{0,40}?)[;.]? "
        r"Detected an installation of version (?P<have>\d[\w.]{0,20}\w)",
        loader="addons",
        weight=3,
    ),
    _tf("addon-version", "horovodversionmismatcherror", r"HorovodVersionMismatchError(?!\()", loader="horovod"),
    _tf(
        "addon-version",
        "did you use camelcase",
        r"Invalid name: (?P<object>[\w>]{1,80}) \(Did you use CamelCase\?\)",
        loader="addons",
    ),
    _tf("addon-version", "no longer supports tensorflow", r"no longer supports TensorFlow[^\n]{0,80}", loader="addons"),
)
SHAPES = (*HARMLESS, *PROCESSOR, *REGISTERED, *GPU, *ADDONS)
