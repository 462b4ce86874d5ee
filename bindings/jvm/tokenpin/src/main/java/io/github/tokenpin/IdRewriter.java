package io.github.tokenpin;

import java.io.ByteArrayOutputStream;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.util.Objects;

/**
 * Rewrites the ids of one body, chunk by chunk. At most some hundred bytes are held back until a
 * later chunk or the end. Threads may take turns: a chunk of another thread waits.
 */
public abstract sealed class IdRewriter permits IdOpener, IdSealer {
  /** That many bytes are given to the library at a time. */
  private static final int STEP = 1 << 15;

  final Affinity affinity;
  final IdOptions options;
  private final byte[] state;
  private boolean ended;
  private long changed;
  private long unexpected;

  IdRewriter(Affinity affinity, IdOptions options, int size) {
    this.affinity = affinity;
    this.options = options;
    this.state = new byte[size];
  }

  /** Makes the first state in the frame. */
  abstract int init(Core core, int state);

  /** Lays out what a step needs beside the state. */
  abstract void put(Core core);

  /** Takes back what a step has changed of that. */
  abstract void keep(Core core);

  abstract int step(Core core, long using, long state, long chunk, int length, long piece);

  abstract int end(Core core, long using, long state, long piece);

  final void start() {
    Core core = affinity.borrow();
    try {
      int at = core.reserve(state.length);
      core.send();
      core.check(init(core, at));
      core.read(at, state, 0, state.length);
    } finally {
      affinity.release(core);
    }
  }

  /** A chunk of the body, rewritten. */
  public final byte[] push(byte[] chunk) {
    return push(chunk, 0, chunk.length);
  }

  /** A chunk of the body, rewritten. */
  public final synchronized byte[] push(byte[] chunk, int offset, int length) {
    Objects.checkFromIndexSize(offset, length, chunk.length);
    Out out = new Out(length + 64);
    write(chunk, offset, length, out);
    return out.toByteArray();
  }

  /** A chunk of the body, rewritten. All of it is taken. */
  public final synchronized ByteBuffer push(ByteBuffer chunk) {
    Out out = new Out(chunk.remaining() + 64);
    if (chunk.hasArray()) {
      write(chunk.array(), chunk.arrayOffset() + chunk.position(), chunk.remaining(), out);
      chunk.position(chunk.limit());
    } else {
      byte[] part = new byte[Math.min(chunk.remaining(), STEP)];
      while (chunk.hasRemaining()) {
        int length = Math.min(chunk.remaining(), part.length);
        chunk.get(part, 0, length);
        write(part, 0, length, out);
      }
    }
    return out.buffer();
  }

  /** The end of the body: the bytes still held. */
  public final synchronized byte[] finish() {
    Out out = new Out(64);
    finish(out);
    return out.toByteArray();
  }

  /** A whole body, rewritten. */
  public final synchronized byte[] body(byte[] body) {
    Out out = new Out(body.length + 64);
    write(body, 0, body.length, out);
    finish(out);
    return out.toByteArray();
  }

  /** Rewrites what is read of a body. Closing it closes the body. */
  public final InputStream wrap(InputStream body) {
    return new Reading(body);
  }

  /** Rewrites what is written of a body. Closing it ends the body, and closes {@code to}. */
  public final OutputStream wrap(OutputStream to) {
    return new Writing(to);
  }

  /** The number of ids that were rewritten so far. */
  public final synchronized long changed() {
    return changed;
  }

  /**
   * The number of documents that were not understood, and passed unchanged from there on: 0 or 1,
   * except for events.
   */
  public final synchronized long unexpected() {
    return unexpected;
  }

  private void write(byte[] chunk, int offset, int length, Out out) {
    if (ended) {
      throw new IllegalStateException("the body has ended");
    }
    for (int done = 0; done < length; done += STEP) {
      slice(chunk, offset + done, Math.min(STEP, length - done), out);
    }
  }

  private void slice(byte[] chunk, int offset, int length, Out out) {
    Core core = affinity.borrow();
    try {
      int using = options.put(core);
      put(core);
      int stateAt = core.put(state);
      int piece = core.reserve(Layout.PIECE_SIZE);
      int at = core.put(chunk, offset, length);
      core.send();
      int done = 0;
      while (done < length) {
        core.check(
            step(
                core,
                core.address(using),
                core.address(stateAt),
                core.address(at + done),
                length - done,
                core.address(piece)));
        int pass = (int) core.wordAt(piece + Layout.PIECE_AT_PASS);
        out.write(chunk, offset + done, pass);
        take(core, piece, out);
        done += (int) core.wordAt(piece + Layout.PIECE_AT_TAKEN);
        // Should a later step have to be made again, this is where it begins.
        core.pull(stateAt, state.length);
        keep(core);
      }
      core.read(stateAt, state, 0, state.length);
    } finally {
      affinity.release(core);
    }
  }

  private void finish(Out out) {
    if (ended) {
      throw new IllegalStateException("the body has ended");
    }
    Core core = affinity.borrow();
    try {
      int using = options.put(core);
      put(core);
      int stateAt = core.put(state);
      int piece = core.reserve(Layout.PIECE_SIZE);
      core.send();
      core.check(end(core, core.address(using), core.address(stateAt), core.address(piece)));
      take(core, piece, out);
      core.read(stateAt, state, 0, state.length);
      keep(core);
      ended = true;
    } finally {
      affinity.release(core);
    }
  }

  private void take(Core core, int piece, Out out) {
    int length = (int) core.wordAt(piece + Layout.PIECE_AT_PUT_LEN);
    if (length != 0) {
      int at = (int) (core.wordAt(piece + Layout.PIECE_AT_PUT) - core.base());
      out.write(core.bytesAt(at, length), 0, length);
    }
    changed = core.intAt(piece + Layout.PIECE_AT_CHANGED) & 0xffffffffL;
    unexpected = core.intAt(piece + Layout.PIECE_AT_UNEXPECTED) & 0xffffffffL;
  }

  private static final class Out extends ByteArrayOutputStream {
    Out(int size) {
      super(size);
    }

    ByteBuffer buffer() {
      return ByteBuffer.wrap(buf, 0, count);
    }
  }

  private final class Reading extends InputStream {
    private final InputStream body;
    private final byte[] chunk = new byte[8192];
    private byte[] ready = {};
    private int next;
    private boolean done;

    Reading(InputStream body) {
      this.body = body;
    }

    private boolean fill() throws IOException {
      while (next == ready.length) {
        if (done) {
          return false;
        }
        int length = body.read(chunk);
        done = length < 0;
        ready = done ? finish() : push(chunk, 0, length);
        next = 0;
      }
      return true;
    }

    @Override
    public int read() throws IOException {
      return fill() ? ready[next++] & 0xff : -1;
    }

    @Override
    public int read(byte[] to, int offset, int length) throws IOException {
      Objects.checkFromIndexSize(offset, length, to.length);
      if (length == 0) {
        return 0;
      }
      if (!fill()) {
        return -1;
      }
      int count = Math.min(length, ready.length - next);
      System.arraycopy(ready, next, to, offset, count);
      next += count;
      return count;
    }

    @Override
    public int available() {
      return ready.length - next;
    }

    @Override
    public void close() throws IOException {
      body.close();
    }
  }

  private final class Writing extends FilterOutputStream {
    private boolean closed;

    Writing(OutputStream to) {
      super(to);
    }

    @Override
    public void write(int one) throws IOException {
      write(new byte[] {(byte) one}, 0, 1);
    }

    @Override
    public void write(byte[] chunk, int offset, int length) throws IOException {
      out.write(push(chunk, offset, length));
    }

    @Override
    public void close() throws IOException {
      if (!closed) {
        closed = true;
        try (OutputStream to = out) {
          to.write(finish());
        }
      }
    }
  }
}
