package io.github.tokenpin;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The native library, by java.lang.foreign. Its functions neither block nor call back, so most are
 * called without leaving Java's state.
 */
@SuppressWarnings("restricted")
final class NativeBackend extends Backend {
  /**
   * These take time that grows with what they are given: a garbage collection does not wait for
   * them.
   */
  private static final Set<String> SLOW =
      Set.of(
          "tokenpin_affinity_size",
          "tokenpin_affinity_init",
          "tokenpin_affinity_live_fingerprint",
          "tokenpin_select_batch");

  private static final ValueLayout.OfByte BYTE = ValueLayout.JAVA_BYTE;
  private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;
  private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED;

  private final Linker linker = Linker.nativeLinker();
  private final SymbolLookup symbols;

  NativeBackend(SymbolLookup symbols) {
    this.symbols = symbols;
    int version;
    try {
      version =
          (int)
              handle("tokenpin_abi_version", FunctionDescriptor.of(ValueLayout.JAVA_INT))
                  .invokeExact();
    } catch (Throwable e) {
      throw new IllegalStateException("the native library cannot be called", e);
    }
    if (version != Layout.ABI_VERSION) {
      throw new IllegalStateException(
          "the native library has version "
              + version
              + " of the interface, and not "
              + Layout.ABI_VERSION);
    }
  }

  /** That of the property tokenpin.library, a path, or else the one that the system finds. */
  static SymbolLookup library() {
    if (ValueLayout.ADDRESS.byteSize() != Long.BYTES) {
      throw new IllegalStateException(
          "the native library is only called where pointers have 64 bits");
    }
    String path = System.getProperty("tokenpin.library");
    try {
      return path == null
          ? SymbolLookup.libraryLookup(name(), Arena.global())
          : SymbolLookup.libraryLookup(Path.of(path).toAbsolutePath(), Arena.global());
    } catch (IllegalArgumentException | UnsupportedOperationException e) {
      throw new IllegalStateException(
          "there is no native library " + (path == null ? name() : path), e);
    }
  }

  /** As it is called where its version is this one's. */
  private static String name() {
    String name = System.mapLibraryName("tokenpin");
    if (name.endsWith(".so")) {
      return name + "." + Layout.SO_VERSION;
    }
    return name.replace(".dylib", "." + Layout.SO_VERSION + ".dylib");
  }

  @Override
  boolean isNative() {
    return true;
  }

  @Override
  MethodHandle function(String name, String kinds) {
    int count = kinds.length() - 1;
    MemoryLayout[] parameters = new MemoryLayout[count];
    for (int i = 0; i < count; i++) {
      parameters[i] =
          switch (kinds.charAt(i)) {
            case 'I' -> ValueLayout.JAVA_INT;
            case 'S' -> ValueLayout.JAVA_SHORT;
            case 'B' -> ValueLayout.JAVA_BYTE;
            default -> ValueLayout.JAVA_LONG;
          };
    }
    FunctionDescriptor descriptor =
        kinds.charAt(count) == 'V'
            ? FunctionDescriptor.ofVoid(parameters)
            : FunctionDescriptor.of(ValueLayout.JAVA_INT, parameters);
    MethodType type = type(kinds);
    return MethodHandles.dropArguments(
        MethodHandles.explicitCastArguments(handle(name, descriptor), type), 0, Core.class);
  }

  private MethodHandle handle(String name, FunctionDescriptor descriptor) {
    Linker.Option[] options =
        SLOW.contains(name)
            ? new Linker.Option[0]
            : new Linker.Option[] {Linker.Option.critical(false)};
    MemorySegment symbol =
        symbols
            .find(name)
            .orElseThrow(() -> new IllegalStateException("the native library has no " + name));
    return linker.downcallHandle(symbol, descriptor, options);
  }

  @Override
  Block block(long size) {
    return new NativeBlock(size);
  }

  @Override
  Core core(@Nullable Block block) {
    return new NativeCore();
  }

  private static final class NativeBlock extends Block {
    private final Arena arena = Arena.ofShared();
    private final MemorySegment memory;

    NativeBlock(long size) {
      memory = arena.allocate(size, 16);
    }

    @Override
    long address() {
      return memory.address();
    }

    @Override
    void wipe() {
      memory.fill((byte) 0);
      arena.close();
    }
  }

  private static final class NativeCore extends Core {
    /** Freed when this core is garbage. */
    private MemorySegment memory = MemorySegment.NULL;

    @Override
    long base() {
      return memory.address();
    }

    @Override
    void fit(int length) {
      if (length > memory.byteSize()) {
        memory.fill((byte) 0);
        memory = Arena.ofAuto().allocate(frame.length, 16);
      }
    }

    @Override
    void push(int at, int length) {
      MemorySegment.copy(frame, at, memory, BYTE, at, length);
    }

    @Override
    int byteAt(int at) {
      return memory.get(BYTE, at) & 0xff;
    }

    @Override
    int intAt(int at) {
      return memory.get(INT, at);
    }

    @Override
    long longAt(int at) {
      return memory.get(LONG, at);
    }

    @Override
    void read(int at, byte[] to, int offset, int length) {
      MemorySegment.copy(memory, BYTE, at, to, offset, length);
    }

    @Override
    byte[] anywhere(long address, int length) {
      return MemorySegment.ofAddress(address).reinterpret(length).toArray(BYTE);
    }

    @Override
    void sync() {}

    @Override
    void publish() {}

    @Override
    void recover(Throwable thrown) {
      if (thrown instanceof Error error) {
        throw error;
      }
      throw new IllegalStateException("the library has failed", thrown);
    }

    @Override
    void end() {
      Arrays.fill(frame, (byte) 0);
      memory.fill((byte) 0);
    }
  }
}
