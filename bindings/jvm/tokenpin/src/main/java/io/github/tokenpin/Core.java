package io.github.tokenpin;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The state of one call of the library, used by one thread at a time. What is given is laid out in
 * the frame, at offsets, and {@link #send} takes a copy of it to the library's memory, where the
 * answers are read, at the same offsets.
 */
abstract class Core {
  private static final ByteOrder ORDER =
      Library.WIDE ? ByteOrder.nativeOrder() : ByteOrder.LITTLE_ENDIAN;
  static final VarHandle SHORTS = MethodHandles.byteArrayViewVarHandle(short[].class, ORDER);
  static final VarHandle INTS = MethodHandles.byteArrayViewVarHandle(int[].class, ORDER);
  static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ORDER);

  /** A frame over this is not kept. */
  private static final int LARGE = 1 << 20;

  private static final SecureRandom RANDOM = new SecureRandom();

  byte[] frame = new byte[4096];
  int used;

  /** The places of pointers, which are offsets until the frame is sent. */
  private int[] pointers = new int[32];

  private int pointerCount;
  private final byte[] random = new byte[1024];
  private int drawn = random.length;

  /** The frame's address, for as long as it is not sent again. */
  abstract long base();

  /** Sees to it that the library's memory has room for the frame. */
  abstract void fit(int length);

  abstract void push(int at, int length);

  abstract int byteAt(int at);

  abstract int intAt(int at);

  abstract long longAt(int at);

  abstract void read(int at, byte[] to, int offset, int length);

  /** Bytes of the library's memory, which need not be of the frame. */
  abstract byte[] anywhere(long address, int length);

  /** Sees what other cores have published of the block. */
  abstract void sync();

  /** Shows what a call through this core has changed in the block to the others. */
  abstract void publish();

  /** Takes what a call threw: comes back if the call is to be made again, or else throws. */
  abstract void recover(Throwable thrown);

  /** Ends a caller's turn. Tells whether the core can be used again. */
  boolean rest() {
    begin();
    return frame.length <= LARGE;
  }

  /** Its life ends: nothing secret stays. */
  abstract void end();

  final void begin() {
    used = 0;
    pointerCount = 0;
  }

  /** Room for a structure, all zero. */
  final int reserve(int size) {
    int at = room(size);
    Arrays.fill(frame, at, at + size, (byte) 0);
    return at;
  }

  final int room(int size) {
    long at = (used + 7L) & -8L;
    if (at + size > frame.length) {
      grow(at + size);
    }
    used = (int) at + size;
    return (int) at;
  }

  /** Room for an array of structures. */
  final int reserve(int count, int size) {
    return reserve(fits((long) count * size));
  }

  private static int fits(long size) {
    if (size > Integer.MAX_VALUE - 64) {
      throw new IllegalArgumentException("more is given than two gigabytes");
    }
    return (int) size;
  }

  private void grow(long size) {
    byte[] before = frame;
    frame =
        Arrays.copyOf(
            before,
            fits(
                Math.min(
                    Math.max(size, 2L * before.length), Math.max(size, Integer.MAX_VALUE - 64))));
    Arrays.fill(before, 0, used, (byte) 0);
  }

  final void putByte(int at, int value) {
    frame[at] = (byte) value;
  }

  final void putShort(int at, int value) {
    SHORTS.set(frame, at, (short) value);
  }

  final void putInt(int at, int value) {
    INTS.set(frame, at, value);
  }

  final void putLong(int at, long value) {
    LONGS.set(frame, at, value);
  }

  final void putWord(int at, long value) {
    if (Library.WIDE) {
      LONGS.set(frame, at, value);
    } else {
      INTS.set(frame, at, (int) value);
    }
  }

  /** A pointer to what stands in the frame. */
  final void point(int at, int to) {
    if (pointerCount == pointers.length) {
      pointers = Arrays.copyOf(pointers, 2 * pointerCount);
    }
    pointers[pointerCount++] = at;
    putWord(at, to);
  }

  final int put(byte[] bytes) {
    return put(bytes, 0, bytes.length);
  }

  final int put(byte[] bytes, int offset, int length) {
    int at = room(length);
    System.arraycopy(bytes, offset, frame, at, length);
    return at;
  }

  /** A text, which is a String or an array of bytes. {@link #used} is its end then. */
  final int put(Object text) {
    if (text instanceof byte[] bytes) {
      return put(bytes);
    }
    String string = (String) text;
    int length = string.length();
    int at = room(length);
    for (int i = 0; i < length; i++) {
      char letter = string.charAt(i);
      if (letter >= 0x80) {
        used = at;
        return put(utf8(string));
      }
      frame[at + i] = (byte) letter;
    }
    return at;
  }

  private static byte[] utf8(String string) {
    try {
      ByteBuffer made = StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(string));
      byte[] bytes = new byte[made.remaining()];
      made.get(bytes);
      return bytes;
    } catch (CharacterCodingException e) {
      throw new IllegalArgumentException("half a character stands in a text", e);
    }
  }

  /** A text, and the structure at {@code where} that says where it is. */
  final void bytes(int where, @Nullable Object text) {
    if (text == null) {
      return;
    }
    int at = put(text);
    putWord(where + Layout.BYTES_AT_LEN, used - at);
    if (used != at) {
      point(where + Layout.BYTES_AT_PTR, at);
    }
  }

  /** Sixteen random bytes, in a frame that was sent. */
  final void entropy(int at) {
    if (drawn == random.length) {
      RANDOM.nextBytes(random);
      drawn = 0;
    }
    System.arraycopy(random, drawn, frame, at, 16);
    Arrays.fill(random, drawn, drawn + 16, (byte) 0);
    drawn += 16;
    push(at, 16);
  }

  /** Takes the frame to the library. */
  final void send() {
    fit(used);
    long base = base();
    for (int i = 0; i < pointerCount; i++) {
      int at = pointers[i];
      putWord(at, base + word(frame, at));
    }
    pointerCount = 0;
    push(0, used);
  }

  /** Takes what the library has made of a part of the frame into the frame. */
  final void pull(int at, int length) {
    read(at, frame, at, length);
  }

  private static long word(byte[] from, int at) {
    return Library.WIDE ? (long) LONGS.get(from, at) : (int) INTS.get(from, at) & 0xffffffffL;
  }

  final long wordAt(int at) {
    return Library.WIDE ? longAt(at) : intAt(at) & 0xffffffffL;
  }

  final long address(int at) {
    return base() + at;
  }

  final byte[] bytesAt(int at, int length) {
    byte[] made = new byte[length];
    read(at, made, 0, length);
    return made;
  }

  final String textAt(int at, int length) {
    return new String(bytesAt(at, length), StandardCharsets.UTF_8);
  }

  /** Forgets what was secret in the frame. */
  final void wipe(int at, int length) {
    Arrays.fill(frame, at, at + length, (byte) 0);
    push(at, length);
  }

  final void check(int status) {
    if (status != 0) {
      throw new TokenpinException(Status.of(status));
    }
  }
}
