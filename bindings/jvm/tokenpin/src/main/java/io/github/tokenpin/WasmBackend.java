package io.github.tokenpin;

import com.dylibso.chicory.runtime.ByteArrayMemory;
import com.dylibso.chicory.runtime.ChicoryInterruptedException;
import com.dylibso.chicory.runtime.HostFunction;
import com.dylibso.chicory.runtime.ImportValues;
import com.dylibso.chicory.runtime.Instance;
import com.dylibso.chicory.runtime.Memory;
import com.dylibso.chicory.wasm.WasmModule;
import com.dylibso.chicory.wasm.types.Export;
import com.dylibso.chicory.wasm.types.FunctionType;
import com.dylibso.chicory.wasm.types.ValType;
import io.github.tokenpin.wasm.Wasm;
import io.github.tokenpin.wasm.WasmMachine;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The library as WebAssembly that was compiled to Java's bytecode when this package was built. Each
 * core has its own memory, and a copy of the block in it.
 */
final class WasmBackend extends Backend {
  private static final MethodHandles.Lookup LOOKUP = MethodHandles.lookup();

  private final WasmModule module = Wasm.load();
  private final Map<String, Integer> exports = new HashMap<>();
  private final ImportValues imports = imports();

  WasmBackend() {
    for (int i = 0; i < module.exportSection().exportCount(); i++) {
      Export export = module.exportSection().getExport(i);
      exports.put(export.name(), export.index());
    }
  }

  /** Imports that are never called: the memory of affinities is given. */
  private static ImportValues imports() {
    List<ValType> one = List.of(ValType.I32);
    return ImportValues.builder()
        .addFunction(
            new HostFunction("env", "malloc", FunctionType.of(one, one), WasmBackend::refuse))
        .addFunction(
            new HostFunction("env", "free", FunctionType.of(one, List.of()), WasmBackend::refuse))
        .build();
  }

  private static long[] refuse(Instance instance, long... args) {
    throw new IllegalStateException("the library allocates");
  }

  @Override
  boolean isNative() {
    return false;
  }

  /**
   * The compiled method itself: its wrappers, which the runtime calls, allocate. It takes the
   * memory and the instance behind its own parameters.
   */
  @Override
  MethodHandle function(String name, String kinds) {
    MethodType type = type(kinds);
    int count = type.parameterCount();
    Class<?>[] ints = new Class<?>[count];
    for (int i = 0; i < count; i++) {
      ints[i] = kinds.charAt(i) == 'L' ? long.class : int.class;
    }
    MethodType compiled =
        MethodType.methodType(type.returnType(), ints)
            .appendParameterTypes(Memory.class, Instance.class);
    try {
      MethodHandle method = compiled("func_" + exports.get(name), compiled);
      method =
          MethodHandles.explicitCastArguments(
              method, type.appendParameterTypes(Memory.class, Instance.class));
      MethodHandle memory = LOOKUP.findGetter(WasmCore.class, "memory", Memory.class);
      MethodHandle instance = LOOKUP.findGetter(WasmCore.class, "instance", Instance.class);
      method = MethodHandles.filterArguments(method, count, memory, instance);
      int[] order = new int[count + 2];
      for (int i = 0; i < count; i++) {
        order[i] = i + 1;
      }
      method =
          MethodHandles.permuteArguments(
              method, type.insertParameterTypes(0, WasmCore.class), order);
      return method.asType(type.insertParameterTypes(0, Core.class));
    } catch (ReflectiveOperationException e) {
      throw new LinkageError(name, e);
    }
  }

  private static MethodHandle compiled(String name, MethodType type)
      throws ReflectiveOperationException {
    MethodHandles.Lookup lookup = MethodHandles.privateLookupIn(WasmMachine.class, LOOKUP);
    for (int group = 0; ; group++) {
      Class<?> holder = lookup.findClass(WasmMachine.class.getName() + "FuncGroup_" + group);
      try {
        return lookup.findStatic(holder, name, type);
      } catch (NoSuchMethodException e) {
        // In the next one: a class holds only that many methods.
      }
    }
  }

  @Override
  Block block(long size) {
    return new WasmBlock(size);
  }

  @Override
  Core core(@Nullable Block block) {
    Instance instance =
        Instance.builder(module)
            .withImportValues(imports)
            .withMachineFactory(Wasm::create)
            .withMemoryFactory(ByteArrayMemory::new)
            .build();
    return new WasmCore(instance, (WasmBlock) block);
  }

  private static int heap(Instance instance) {
    return ((int) instance.exports().global("__heap_base").getValue() + 15) & -16;
  }

  static final class WasmBlock extends Block {
    private final int size;

    /** The bytes that the cores copy. */
    private byte[] image;

    private volatile int version;

    /** The same in each core. */
    private int address = -1;

    WasmBlock(long size) {
      if (size > Integer.MAX_VALUE - (1 << 24)) {
        throw new OutOfMemoryError("no memory for that many slots");
      }
      this.size = (int) size;
      this.image = new byte[this.size];
    }

    @Override
    long address() {
      return address;
    }

    @Override
    void wipe() {
      synchronized (this) {
        Arrays.fill(image, (byte) 0);
      }
    }
  }

  static final class WasmCore extends Core {
    final Instance instance;
    final Memory memory;
    private final @Nullable WasmBlock block;
    private final int base;
    private final long stack;
    private int seen;
    private boolean interrupted;
    private boolean broken;

    WasmCore(Instance instance, @Nullable WasmBlock block) {
      this.instance = instance;
      this.memory = instance.memory();
      this.block = block;
      this.stack = instance.global(0).getValue();
      int heap = heap(instance);
      int size = 0;
      if (block != null) {
        size = block.size;
        synchronized (block) {
          block.address = heap;
          grow((long) heap + size);
          copy(block);
        }
      }
      this.base = (heap + size + 15) & -16;
    }

    private void copy(WasmBlock from) {
      memory.write(from.address, from.image, 0, from.size);
      seen = from.version;
    }

    private void grow(long size) {
      int pages = (int) ((size + Memory.PAGE_SIZE - 1) / Memory.PAGE_SIZE);
      int missing = pages - memory.pages();
      if (missing > 0 && memory.grow(missing) < 0) {
        throw new OutOfMemoryError("no memory for what is given");
      }
    }

    @Override
    long base() {
      return base;
    }

    @Override
    void fit(int length) {
      grow((long) base + length);
    }

    @Override
    void push(int at, int length) {
      memory.write(base + at, frame, at, length);
    }

    @Override
    int byteAt(int at) {
      return memory.read(base + at) & 0xff;
    }

    @Override
    int intAt(int at) {
      return memory.readInt(base + at);
    }

    @Override
    long longAt(int at) {
      return memory.readLong(base + at);
    }

    @Override
    void read(int at, byte[] to, int offset, int length) {
      int done = 0;
      for (; done + 8 <= length; done += 8) {
        LONGS.set(to, offset + done, memory.readLong(base + at + done));
      }
      for (; done < length; done++) {
        to[offset + done] = memory.read(base + at + done);
      }
    }

    @Override
    byte[] anywhere(long address, int length) {
      return memory.readBytes((int) address, length);
    }

    @Override
    void sync() {
      if (block != null && block.version != seen) {
        synchronized (block) {
          copy(block);
        }
      }
    }

    @Override
    void publish() {
      if (block != null) {
        byte[] image = memory.readBytes(block.address, block.size);
        Arrays.fill(block.image, (byte) 0);
        block.image = image;
        seen = block.version + 1;
        block.version = seen;
      }
    }

    /**
     * The compiled code stops where its thread is interrupted. A call is too short for that to
     * matter: it is made again, and the thread is reported afterwards.
     */
    @Override
    void recover(Throwable thrown) {
      if (thrown instanceof ChicoryInterruptedException) {
        interrupted = true;
        Thread.interrupted();
        instance.global(0).setValue(stack);
        push(0, used);
        return;
      }
      broken = true;
      if (thrown instanceof Error error) {
        throw error;
      }
      throw new IllegalStateException("the library has failed", thrown);
    }

    @Override
    boolean rest() {
      if (interrupted) {
        interrupted = false;
        Thread.currentThread().interrupt();
      }
      return super.rest() && !broken;
    }

    @Override
    void end() {
      Arrays.fill(frame, (byte) 0);
      memory.fill((byte) 0, 0, memory.pages() * Memory.PAGE_SIZE);
    }
  }
}
