// TCP connections whose numbers are known. Each command prints one line when it is ready or done.
//   listen ADDRESS PORT [BACKLOG]       accepts for ever, reads all, closes when the other side does; with BACKLOG: never accepts
//   activated - -                       the same for the listening socket that it was started with, descriptor 3 (sd_listen_fds(3))
//   leave ADDRESS PORT COUNT [BYTES [half]]   accepts COUNT, then listens no more; each is kept, with what fits of BYTES
//                                       written to it and nothing read; half: closed for writing after that
//   slam ADDRESS PORT [HOW]             accepts for ever and closes each at once; HOW as for storm, else rst
//   belated ADDRESS PORT                accepts for ever, and sends when the other side has closed
//   storm ADDRESS PORT COUNT RATE HOW [BYTES [FROM]]   dials COUNT times, RATE per second (0: as fast as it can);
//                                       HOW fin, rst, steps (first for writing): how each is closed; BYTES are sent first;
//                                       from the source ports FROM, FROM + 1, …, which the kernel chooses otherwise.
//                                       Prints "established failed sentBytes mean-ns elapsed-ns cpu-us" of what it saw itself
//   fork ADDRESS PORT COUNT RATE        the same, each by a process of its own that exits at once
//   hold ADDRESS PORT COUNT [BYTES]     keeps COUNT open until it is killed
//   half ADDRESS PORT COUNT             as hold, but closed for writing
//   later ADDRESS PORT COUNT            as hold, but makes the sockets at once and dials when it is sent SIGUSR1
//   peer ADDRESS PORT COUNT FROM [BYTES [half]]   as hold, but from the ports FROM, FROM + 1, …, on which it listens too;
//                                       BYTES and half as of leave
//   share ADDRESS PORT COUNT [BYTES]    the same, but a child has them all, twice, and its parent is gone
//   pass ADDRESS PORT COUNT             each is handed by SCM_RIGHTS to a child; the parent closes its own by close_range,
//                                       and dies; prints the child's pid
//   prefork ADDRESS PORT COUNT          COUNT children accept from one listening socket, each reads until the end
//   giveup ADDRESS PORT COUNT MS        dials without waiting and closes after MS
//   scan ADDRESS PORT COUNT             dials COUNT ports from PORT on, each once; prints how many were refused
//   crawl ADDRESS PORT COUNT            dials COUNT addresses from ADDRESS on, each once, and resets; prints how many answered
//   wait ADDRESS PORT COUNT [MS]        dials and waits for however long, or for MS as TCP_USER_TIMEOUT has it; prints errno of each
//   answer ADDRESS PORT COUNT           dials COUNT times, and sends when the other side has closed
//   read ADDRESS PORT COUNT             dials and reads until the other side ends it; prints errno of each
// With MPTCP in the environment all sockets are of MPTCP.
#define _GNU_SOURCE
#include <signal.h>

#include "connections_accepted.h"
#include "connections_dialled.h"
#include "connections_kept.h"

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	protocol = getenv("MPTCP") ? IPPROTO_MPTCP : 0;
	if (argc < 4)
		return 2;

	const char *what = argv[1];
	long count = argc > 4 ? atol(argv[4]) : 0;

	if (!strcmp(what, "activated"))
		serve(3);
	parse(argv[2], argv[3]);
	if (!strcmp(what, "listen") && argc <= 4)
		serve(listener_of(4096));
	if (!strcmp(what, "listen")) {
		listener_of(count);
		ready();
		for (;;)
			pause();
	}
	if (!strcmp(what, "leave"))
		leave(count, argc > 5 ? atol(argv[5]) : 0, argc > 6);
	if (!strcmp(what, "slam"))
		slam(argc > 4 ? argv[4] : "rst");
	if (!strcmp(what, "belated"))
		belated();
	from_port = !strcmp(what, "storm") && argc > 8 ? atoi(argv[8]) : 0;
	if (!strcmp(what, "storm"))
		return storm(count, atol(argv[5]), argv[6], argc > 7 ? atol(argv[7]) : 0);
	if (!strcmp(what, "fork"))
		return fork_each(count, atol(argv[5]));
	if (!strcmp(what, "hold"))
		hold(count, argc > 5 ? atol(argv[5]) : 0, 0);
	if (!strcmp(what, "half"))
		hold(count, 0, 1);
	if (!strcmp(what, "later"))
		later(count);
	if (!strcmp(what, "peer"))
		peer(count, atoi(argv[5]), argc > 6 ? atol(argv[6]) : 0, argc > 7);
	if (!strcmp(what, "share"))
		return share(count, argc > 5 ? atol(argv[5]) : 0);
	if (!strcmp(what, "pass"))
		return pass(count);
	if (!strcmp(what, "prefork"))
		prefork(count);
	if (!strcmp(what, "giveup"))
		return give_up(count, atol(argv[5]));
	if (!strcmp(what, "scan"))
		return scan(atol(argv[3]), count);
	if (!strcmp(what, "crawl"))
		return crawl(count);
	if (!strcmp(what, "wait"))
		return wait_for(count, argc > 5 ? atoi(argv[5]) : 0);
	if (!strcmp(what, "answer"))
		return answer_too_late(count);
	if (!strcmp(what, "read"))
		return read_all(count);
	return 2;
}
