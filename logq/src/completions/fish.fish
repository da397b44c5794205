# Completion of logq in fish: logq completions fish | source
function __logq_complete
    set -l line (commandline -cp | string collect)
    set -l candidates (command logq complete fish "$line" (commandline -ct | string collect) 2>/dev/null </dev/null)
    if test "$candidates[1]" = ":paths:"
        __fish_complete_path (commandline -ct)
        return
    end
    printf '%s\n' $candidates
end
complete -c logq -f -a '(__logq_complete)'
