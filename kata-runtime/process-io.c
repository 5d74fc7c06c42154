/* Standard streams for a shim: see process-io.h. */
#include "kata-runtime/process-io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"
#include "kata-runtime/console.h"

enum { CONSOLE_MS = 10000 };

int process_io_check(const struct container_options *options, struct error *err)
{
	const char *listen_fds = getenv("LISTEN_FDS");

	if (options->preserve_fds != NULL && !str_eq(options->preserve_fds, "0"))
		return error_say(
			err, ENOTSUP,
			"--preserve-fds %s: a process in a VM cannot get descriptors of the "
			"host, only 0 is possible",
			options->preserve_fds);
	if (listen_fds != NULL && listen_fds[0] != '\0' && !str_eq(listen_fds, "0"))
		return error_say(err, ENOTSUP,
				 "LISTEN_FDS=%s: a process in a VM cannot get sockets of the host",
				 listen_fds);
	return 0;
}

/* The older way: the caller keeps the master and names the slave. */
static int open_given(struct process_io *io, const char *path, struct error *err)
{
	io->slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (io->slave < 0)
		return error_set(err, errno, "--console %s", path);
	if (!isatty(io->slave))
		return error_say(err, ENOTTY, "--console %s: it is no terminal", path);
	for (int i = 0; i < 3; i++)
		io->stdio[i] = io->slave;
	return 0;
}

static int open_terminal(struct process_io *io, const struct spec_process *process,
			 const struct container_options *options, struct error *err)
{
	struct winsize size = { .ws_row = (unsigned short)process->rows,
				.ws_col = (unsigned short)process->columns };
	int r = console_open(&io->master, &io->slave, err);

	if (r < 0)
		return r;
	if (size.ws_row != 0 || size.ws_col != 0)
		ioctl(io->master, TIOCSWINSZ, &size);
	for (int i = 0; i < 3; i++)
		io->stdio[i] = io->slave;
	if (options->console_socket != NULL) {
		r = console_send(options->console_socket, io->master, deadline_in_ms(CONSOLE_MS),
				 err);
		fd_close(&io->master);
	}
	return r;
}

int process_io_open(struct process_io *io, const struct spec_process *process,
		    const struct container_options *options, struct error *err)
{
	*io = (struct process_io)PROCESS_IO_NONE;
	if (options->console != NULL && options->console_socket != NULL)
		return error_say(err, EINVAL, "--console and --console-socket exclude each other");
	if (!process->terminal && (options->console != NULL || options->console_socket != NULL))
		return error_say(err, EINVAL,
				 "--console%s was given, but the process wants no terminal",
				 options->console == NULL ? "-socket" : "");
	if (process->terminal && options->console != NULL)
		return open_given(io, options->console, err);
	if (process->terminal && options->detach && options->console_socket == NULL)
		return error_say(err, EINVAL,
				 "the process wants a terminal and nobody waits for it: "
				 "--console-socket is needed");
	return process->terminal ? open_terminal(io, process, options, err) : 0;
}

void process_io_close(struct process_io *io)
{
	fd_close(&io->slave);
	fd_close(&io->master);
}
