"""A GPU that is pretended: tensors lie in main memory, and what PyTorch would refuse on a real one is refused here.

    with pretended_cuda():
        extract.main()  # with SIGNBRIDGE_DEVICE=cuda

Every tensor's storage is either the processor's or is noted as the GPU's: views, parameters and `.data` share the one
of the tensor that they come from, copies from one device to the other get another. Refused are operations on tensors
of both devices, `.numpy()` of the GPU's, an index that lies on the GPU into what does not, and a generator of the wrong
device. As on a GPU, a number without dimensions may lie on the processor in arithmetic and comparisons, and so may an
index. What is computed is the processor's, to the last bit.

Not seen: what happens within one operation, within `backward` and within an `autograd.Function`; kernels, streams and
memory of a real GPU.
"""

import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")
GIB = 2**30
MEMORY = 24 * GIB  # of the pretended card

# In these a tensor without dimensions may lie on the processor beside tensors of the GPU.
ELEMENTWISE = {
    "add", "sub", "mul", "div", "true_divide", "floor_divide", "remainder", "pow", "rsub", "eq", "ne", "lt", "le", "gt",
    "ge", "where", "maximum", "minimum", "clamp", "lerp", "logical_and", "logical_or", "bitwise_and", "bitwise_or",
    "masked_fill", "fill", "xor", "and", "or", "truediv", "floordiv", "mod", "radd", "rmul", "rtruediv", "rpow",
    "iadd", "isub", "imul", "itruediv", "iand", "ior",
}  # fmt: skip


class PretendedCuda(TorchFunctionMode):
    """The mode: entered in each thread that computes."""

    def __init__(self, notes: "Notes"):
        super().__init__()
        self.notes = notes

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """What `func` gives, on the device where it would be; raises what PyTorch would."""
        kwargs = {key: value for key, value in (kwargs or {}).items() if key != "pin_memory"}
        name = getattr(func, "__name__", str(func))
        property_name = getattr(getattr(func, "__self__", None), "__name__", "")
        on_gpu = self.notes.on_gpu
        if name == "__get__" and property_name in ("device", "is_cuda", "is_cpu"):
            gpu = on_gpu(args[0])
            return {"device": GPU if gpu else func(*args), "is_cuda": gpu, "is_cpu": not gpu}[property_name]
        if name == "get_device":
            return 0 if on_gpu(args[0]) else -1
        if name in ("numpy", "__array__", "__dlpack__") and on_gpu(args[0]):
            raise TypeError(
                "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory "
                "first."
            )
        if name == "_parse_to":  # of what a module is moved to: a device, not a tensor
            return func(*args, **kwargs)
        if name in ("to", "cuda", "cpu"):
            return self._moved(name, func, args, kwargs)
        if name in ("__set__", "set_") and property_name == "data":
            args[0].data = args[1]
            return None
        tensors = list(_tensors((args, kwargs)))
        if name in ("__getitem__", "__setitem__"):
            self._check_index(name, *args)
        elif name not in ("copy_", "_has_compatible_shallow_copy_type"):
            self._check_alike(name.strip("_"), tensors, kwargs)
        wanted = kwargs.get("device")
        if wanted is not None:
            where = _device(wanted).type == "cuda"
            kwargs["device"] = CPU if where else wanted
        elif name == "tensor":  # of tensors in a list it is a new one on the processor
            where = isinstance(args[0], Tensor) and on_gpu(args[0])
        else:
            where = any(on_gpu(tensor) for tensor in self._that_decide(name, args, tensors))
        self._check_generator(kwargs.get("generator"), where)
        result = func(*args, **kwargs)
        if where:
            self.notes.called(name, args)
            inputs = {id(tensor) for tensor in tensors}
            self.notes.add(tensor for tensor in _tensors(result) if id(tensor) not in inputs)
        return result

    @staticmethod
    def _that_decide(name: str, args: tuple, tensors: list[Tensor]) -> list[Tensor]:
        """The tensors that say where the result lies: of a copy or an indexed one, the first."""
        return tensors[:1] if name in ("copy_", "__getitem__", "__setitem__", "type_as") and args else tensors

    def _moved(self, name: str, func: Callable, args: tuple, kwargs: dict) -> Tensor:
        """The tensor on another device, a copy; on its own, what `func` gives of dtype and layout."""
        tensor, *rest = args
        wanted = kwargs.pop("device", None)
        if name != "to":
            wanted, rest = ("cuda" if name == "cuda" else "cpu"), []
        elif rest and isinstance(rest[0], Tensor):
            wanted, rest = (GPU if self.notes.on_gpu(rest[0]) else CPU), [rest[0].dtype, *rest[1:]]
        elif rest and not isinstance(rest[0], torch.dtype):
            wanted, *rest = rest
        kwargs |= dict(zip(("dtype", "non_blocking", "copy"), rest, strict=False))
        kwargs = {key: value for key, value in kwargs.items() if value is not None and key != "non_blocking"}
        if wanted is not None and _device(wanted).type == "meta":
            return tensor.to("meta", **kwargs)
        here = self.notes.on_gpu(tensor)
        where = here if wanted is None else _device(wanted).type == "cuda"
        result = tensor.to(**kwargs) if kwargs else tensor
        if result is tensor and where != here:
            result = tensor.clone()
        if where and result is not tensor:
            self.notes.add([result])
        return result

    def _check_alike(self, name: str, tensors: list[Tensor], kwargs: dict) -> None:
        devices = {self.notes.on_gpu(tensor) for tensor in tensors}
        if len(devices) == 2 and (name in ELEMENTWISE or name.startswith("foreach")):
            devices = {self.notes.on_gpu(tensor) for tensor in tensors if tensor.dim()} or {True}
        if len(devices) == 2:
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! "
                f"(in {name})"
            )

    def _check_index(self, name: str, tensor: Tensor, index: Any, value: Any = None) -> None:
        here, indices = self.notes.on_gpu(tensor), list(_tensors(index))
        # A whole number becomes a plain one.
        wrong = [one for one in indices if self.notes.on_gpu(one) and not here and one.dim()]
        if wrong:
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        if any(one.dim() for one in indices) and isinstance(value, Tensor) and value.dim():
            self._check_alike("index_put", [tensor, value], {})

    @staticmethod
    def _check_generator(generator: Any, where: bool) -> None:
        if isinstance(generator, torch.Generator) and (generator.device.type == "cuda") != where:
            device = "cuda" if where else "cpu"
            raise RuntimeError(f"Expected a '{device}' device type for generator but found '{generator.device.type}'")


class Notes:
    """Which storages are the GPU's, how much they hold and the most that they have held, in bytes."""

    def __init__(self):
        self.peak = 0
        self._storages: dict[int, tuple[StorageWeakRef, int]] = {}  # by address, which stays taken while it is noted
        self._noted = 0  # bytes, with those that are gone since the last sweep
        self._lock = threading.Lock()

    def on_gpu(self, tensor: Tensor) -> bool:
        """Whether the tensor lies on the pretended GPU."""
        with torch._C.DisableTorchFunction():
            return not tensor.is_meta and tensor.untyped_storage()._cdata in self._storages

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Note that these lie there."""
        with self._lock, torch._C.DisableTorchFunction():
            for tensor in tensors:
                if not tensor.is_meta and tensor.untyped_storage()._cdata not in self._storages:
                    storage, size = tensor.untyped_storage(), self.size_of(tensor)
                    self._storages[storage._cdata] = StorageWeakRef(storage), size
                    self._noted += size
            if self._noted > self.peak:
                self._sweep()
                self.peak = max(self.peak, self._noted)

    def size_of(self, tensor: Tensor) -> int:
        """Bytes of the tensor's storage."""
        return tensor.untyped_storage().nbytes()

    def called(self, name: str, args: tuple) -> None:
        """Told of every operation on the GPU's tensors, for who counts them."""

    def held(self) -> int:
        """Bytes on the pretended GPU now."""
        with self._lock:
            self._sweep()
            return self._noted

    def _sweep(self) -> None:
        gone = [address for address, (storage, _) in self._storages.items() if storage.expired()]
        for address in gone:
            self._noted -= self._storages.pop(address)[1]


@contextmanager
def pretended_cuda(memory: int = MEMORY, notes: Notes | None = None) -> Iterator[Notes]:
    """A GPU with `memory` bytes for this thread and for those of every pool that it uses."""
    notes = notes or Notes()
    with suppress(ImportError):
        import bitsandbytes  # noqa: F401  it looks for a GPU's kernels once, as it is imported
    submit = ThreadPoolExecutor.submit

    @functools.wraps(submit)
    def submit_with_mode(pool: ThreadPoolExecutor, function: Callable, /, *args: Any, **kwargs: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            with PretendedCuda(notes):
                return function(*args, **kwargs)

        return submit(pool, run, *args, **kwargs)

    def memory_left(device: Any = None) -> tuple[int, int]:
        return max(0, memory - notes.held()), memory

    properties = SimpleNamespace(name="pretended GPU", total_memory=memory, major=8, minor=0, multi_processor_count=108)
    of_cuda = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "is_initialized": lambda: True,
        "mem_get_info": memory_left,
        "memory_allocated": lambda device=None: notes.held(),
        "memory_reserved": lambda device=None: notes.held(),
        "max_memory_allocated": lambda device=None: notes.peak,
        "reset_peak_memory_stats": lambda device=None: None,
        "synchronize": lambda device=None: None,
        "empty_cache": lambda: None,
        "get_device_name": lambda device=None: "pretended GPU",
        "get_device_capability": lambda device=None: (8, 0),
        "get_device_properties": lambda device=None: properties,
        "is_bf16_supported": lambda *args: True,
    }
    with (
        mock.patch.multiple(torch.cuda, **of_cuda),
        mock.patch.object(ThreadPoolExecutor, "submit", submit_with_mode),
        PretendedCuda(notes),
    ):
        yield notes


def _device(wanted: str | int | torch.device) -> torch.device:
    return torch.device("cuda", wanted) if isinstance(wanted, int) else torch.device(wanted)


def _tensors(of: Any) -> Iterator[Tensor]:
    if isinstance(of, Tensor):
        yield of
    elif isinstance(of, dict):
        for value in of.values():
            yield from _tensors(value)
    elif isinstance(of, list | tuple):
        for value in of:
            yield from _tensors(value)
