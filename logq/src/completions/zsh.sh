#compdef logq
# Completion of logq in zsh: source <(logq completions zsh), behind compinit
_logq() {
    local line="${(j: :)words[1,CURRENT-1]} $IPREFIX$QIPREFIX$PREFIX" candidate
    local -a candidates values shown
    candidates=("${(@f)$(command ${words[1]} complete zsh "$line" "$PREFIX" 2>/dev/null </dev/null)}")
    if [[ $candidates[1] == ":paths:" ]]; then
        _files
        return
    fi
    for candidate in $candidates; do
        values+=("${candidate%%$'\t'*}")
        shown+=("${candidate/$'\t'/  }")
    done
    (( $#values )) || return 1
    if [[ $#values -eq 1 && $values[1] == *: ]]; then
        compadd -S '' -l -d shown -a values
    else
        compadd -l -d shown -a values
    fi
}
if (( $+functions[compdef] )); then
    compdef _logq logq
fi
