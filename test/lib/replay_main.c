/*
 * The main program of a fuzz target that replays files instead of searching: it
 * feeds every file of the directories named to LLVMFuzzerTestOneInput, in order of
 * name. A sanitizer's finding ends the program; the input at fault is named first.
 * It prints one TAP line, and needs no clang.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* weak: where it is built without sanitizers (for another machine, under an emulator) there is none */
__attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)(void));
const char *__asan_default_options(void);

static const char *current_input;

/* A target's own abort() is a finding too, and so is an allocation without bound. */
const char *
__asan_default_options(void)
{
	return "handle_abort=1:max_allocation_size_mb=1024";
}

static void
name_current_input(void)
{
	if (current_input != NULL)
		fprintf(stderr, "the input at fault: %s\n", current_input);
}

/* Ends the program: a replay that cannot read its corpus has shown nothing. */
static void
give_up(const char *path)
{
	perror(path);
	exit(2);
}

/* The whole file in an allocation of exactly its size, so that any over-read is found. */
static uint8_t *
read_input(const char *path, size_t *size)
{
	FILE	   *file = fopen(path, "rb");
	uint8_t    *data;
	long		length;

	if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (length = ftell(file)) < 0)
		give_up(path);
	rewind(file);
	*size = (size_t) length;
	data = malloc(*size);
	if ((data == NULL && *size > 0) || fread(data, 1, *size, file) != *size)
		give_up(path);
	fclose(file);
	return data;
}

static void
replay_file(const char *path)
{
	size_t		size;
	uint8_t    *data = read_input(path, &size);

	current_input = path;
	LLVMFuzzerTestOneInput(data, size);
	current_input = NULL;
	free(data);
}

/* Returns the number of files replayed. */
static int
replay_directory(const char *directory)
{
	struct dirent **entries;
	int			count = scandir(directory, &entries, NULL, alphasort);
	int			replayed = 0;

	if (count < 0)
		give_up(directory);
	for (int i = 0; i < count; i++)
	{
		char		path[4096];

		if (entries[i]->d_name[0] != '.')
		{
			snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name);
			replay_file(path);
			replayed++;
		}
		free(entries[i]);
	}
	free(entries);
	return replayed;
}

int
main(int argc, char **argv)
{
	int			replayed = 0;

	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(name_current_input);
	for (int i = 1; i < argc; i++)
		replayed += replay_directory(argv[i]);
	printf("ok 1 - %d inputs replayed, none found a fault\n", replayed);
	return 0;
}
