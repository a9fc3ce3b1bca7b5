// Bytes from a thread of the addon, each of which says that there is something to take.
import { Socket } from 'node:net'

/** Calls `take` whenever a byte comes out of the pipe, which is closed by what is returned. Keeps no process alive. */
export function onNotice(pipe: number, take: () => void): () => void {
  const socket = new Socket({ fd: pipe, readable: true, writable: false })
  socket
    .on('data', take)
    .on('error', () => {})
    .unref()
  return () => socket.destroy()
}
