// Bytes from a thread of the addon, each of which says that there is something to take.
import { Socket } from 'node:net'

/** Calls `take` whenever a byte comes out of the pipe, which is closed by what is returned. Keeps no process alive. */
export function onNotice(pipe: number, take: () => void): () => void {
  let listener: (() => void) | undefined = take
  const onread = {
    buffer: Buffer.alloc(16),
    callback() {
      listener?.()
      return true
    },
  }
  const socket = new Socket({ fd: pipe, readable: true, writable: false, onread })
  socket.on('error', () => {}).unref()
  return () => {
    listener = undefined
    socket.destroy()
  }
}
